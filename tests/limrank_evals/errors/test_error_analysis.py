"""The whole analysis: of runs, of an evaluated split, and what it warns of."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from error_lists import DIRECT, OUTDATED, SUPPORTING, grades, kinds, listing, scored
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_evals.comparison import Resampling, compare
from limrank_evals.errors import analyse, analyse_evaluated
from limrank_evals.errors.query_failures import OUTCOMES
from limrank_evals.errors.relevant_counts import parse_bins
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import Identity, Result
from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.runs import run_lines_of
from limrank_evals.scoring import score
from limrank_plugins import Document, Query
from limrank_plugins.errors import InputError

QRELS = {"q1": {"d": 2, "i": 1, "n": 0}, "q2": {"d": 2}, "q3": {"d": 2, "i": 1}}
LISTS = {
    "q1": [("i", 0.9), ("d", 0.9), ("n", 0.0)],
    "q2": [("x", 0.7), ("d", None)],
    "q3": [("d", 0.8), ("i", 0.4)],
}
KINDS = {"q1": {"d": DIRECT, "i": SUPPORTING, "n": OUTDATED}, "q3": {"d": DIRECT, "i": SUPPORTING}}
QUICK = {"resampling": Resampling(resamples=100)}


def test_everything_together():
    found = analyse(
        listing(LISTS, score_kind="probability"),
        QRELS,
        first={"q1": ["d", "i", "n"], "q2": ["d", "x"], "q3": ["i", "d"]},
        kinds=KINDS,
        against=listing({"q1": "d i n", "q2": "d x", "q3": "i d"}),
        name="nDCG@1",
        **QUICK,
    )
    told = found.as_json(2)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["measure"], told["top"], told["schema"]) == ("nDCG@1", 1, "limrank eval errors 1")
    assert told["budget"]["achieved"]["mean"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert told["budget"]["first_stage"]["mean"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert told["budget"]["lost_by_ties"]["mean"] == pytest.approx(0.5 / 3)
    assert told["budget"]["cases"] == [
        {
            "query": "q2",
            "achieved": 0.0,
            "ceiling": 1.0,
            "first_stage": 1.0,
            "relevant": 1,
            "best_relevant_rank": 2,
        },
        {
            "query": "q1",
            "achieved": 0.5,
            "ceiling": 1.0,
            "first_stage": 1.0,
            "relevant": 2,
            "best_relevant_rank": 1,
        },
    ]
    assert told["failing"]["cases"]["buried"][0]["query"] == "q2"
    assert told["confusion"]["sorts"][0]["rate"]["mean"] == 0.5
    (case,) = told["confusion"]["cases"]
    assert case == {
        "query": "q1",
        "worse": {"document": "i", "kind": SUPPORTING, "rank": 1, "score": 0.9},
        "better": {"document": "d", "kind": DIRECT, "rank": 2, "score": 0.9},
    }
    assert told["mishaps"]["failures"]["relevant"] == 1
    assert told["ties"]["tied"] == 2
    assert told["against"]["measure"]["difference"] == pytest.approx(-0.5 / 3 - 0.5 / 3 + 0.5 / 3 - 1 / 6)
    assert told["against"]["confusion"][0]["difference"] == 0.0
    assert found.warnings == ()


def test_without_kinds_first_stage_and_scores():
    found = analyse(listing({"q1": "d i", "q9": "x"}), QRELS, bins=parse_bins("1"), **QUICK)
    told = found.as_json()
    assert [told[name] for name in ("confusion", "false_claims", "ties", "against")] == [None] * 4
    assert (told["top"], told["failing"]["without_results"]) == (10, 2)
    assert told["counts"]["without_judgements"] == 1
    assert [warning.split(":")[0] for warning in told["warnings"]] == [
        "2 queries (q2, q3) judged but without results",
        "1 query (q9) in the run but not judged",
        "no first stage is given",
        "2 queries with relevant documents are in no bin",
    ]
    assert analyse(listing({"q1": "d"}), QRELS, top=3, **QUICK).as_json()["top"] == 3
    assert analyse(listing({"q1": "d"}), QRELS, name="AP", **QUICK).as_json()["top"] == 10


def test_a_query_that_lost_nothing_is_no_case():
    found = analyse(listing({"q1": "d i n", "q2": "x d", "q3": "d i"}), QRELS, **QUICK)
    assert [case["query"] for case in found.misordered(10)] == ["q2"]
    assert found.misordered(0) == []


def test_explanations_are_told_when_asked_for():
    run = listing(LISTS)
    lists = {
        q: tuple(replace(one, explanation=f"on {one.document}") for one in f) for q, f in run.lists.items()
    }
    found = analyse(replace(run, lists=lists), QRELS, kinds=KINDS, **QUICK)
    assert "on i" not in json.dumps(found.as_json())
    assert found.as_json(explanations=True)["confusion"]["cases"][0]["worse"]["explanation"] == "on i"


def test_excluded_documents_and_depth():
    run = listing({"q1": "self d i n"})
    found = analyse(
        run, QRELS, first={"q1": ["self", "d", "i", "n"]}, excluded={"q1": {"self"}}, depth=2, **QUICK
    )
    assert found.listing.ranked == {"q1": ["d", "i"]}
    assert found.as_json()["counts"]["excluded_removed"] == 1
    assert found.budget.achieved["q1"] == found.budget.first["q1"] == 1.0
    other = listing({"q1": "self n d i"})
    both = analyse(run, QRELS, against=other, excluded={"q1": {"self"}}, depth=1, name="RR", **QUICK)
    assert (both.against.measure.first, both.against.measure.second) == (0.0, pytest.approx(1 / 3))
    with pytest.raises(InputError, match="relevant for query 'q1' and excluded"):
        analyse(run, QRELS, excluded={"q1": {"d"}})


def test_a_run_that_was_cut_after_ranking_is_measured_against_what_it_was_given():
    """The first stage's fourth document was ranked and cut off: that is the ranking's mistake."""
    first = {"q2": ["x", "y", "z", "d", "never seen"]}
    found = analyse(listing({"q2": "z x"}), {"q2": {"d": 1}}, first=first, depth=4, **QUICK)
    assert found.failing.outcomes == {"q2": "buried"}
    assert found.warnings == ()
    assert found.budget.lost_by_ordering("q2") == 1.0
    found = analyse(listing({"q2": "z x"}), {"q2": {"d": 1}}, first=first, **QUICK)
    assert found.failing.outcomes == {"q2": "not_found"}, "as far as the run shows, three were ranked"
    assert "the run lacks 1 document that the first stage has above others of the run" in found.warnings[0]


def test_what_is_said_of_kinds():
    kinds = {
        "q1": {"d": DIRECT, "i": SUPPORTING, "n": DIRECT},
        "gone": {"d": DIRECT},
    }
    found = analyse(listing(LISTS), QRELS, kinds=kinds, wishes={"q7": "direct"}, **QUICK)
    told = "; ".join(found.warnings)
    assert "kinds that contradict the judgements: 1;" in told
    assert "queries with kinds that the run lacks: 1;" in told
    assert "queries that have an entry in the file of wants, but no kinds: 1" in told
    assert found.confusion.counts["not_ranked"] == 1


def test_bad_input():
    run = listing(LISTS)
    for options, message in (
        ({"top": 0}, "top must be a whole number >= 1, but got 0"),
        ({"depth": 0}, "depth must be a whole number >= 1"),
        ({"name": "nDGC@10"}, "there is no measure"),
        ({"name": "p-MRR"}, "p-MRR compares two rankings"),
        ({"wishes": {"q1": "direct"}}, "give --kinds or --direct-grade"),
        ({"kinds": {"q7": {"d": DIRECT}}}, "no query has ranked passages of two sorts"),
        ({"kinds": {"q1": {"d": DIRECT}}}, "no query has ranked passages of two sorts"),
    ):
        with pytest.raises(InputError, match=message):
            analyse(run, QRELS, **options, **QUICK)
    with pytest.raises(InputError, match="no query of the run is judged"):
        analyse(listing({"z": "a"}), QRELS)
    with pytest.raises(InputError, match="no query of the first stage is judged"):
        analyse(run, QRELS, first={"z": ["a"]})
    with pytest.raises(InputError, match="no query of the other run is judged"):
        analyse(run, QRELS, against=listing({"z": "a"}))


def split(records: list[dict]) -> SplitEvaluation:
    documents = tuple(Document(d, id=d) for d in ("d", "i", "n", "x", "out"))
    benchmark = Benchmark(
        "toy",
        "one",
        tuple(Query(f"what is {q}", id=q) for q in QRELS),
        documents,
        QRELS,
        excluded={"q1": frozenset({"out"})},
    )
    first = score(
        run_lines_of({"q1": {"out": 3, "d": 2, "i": 1}, "q2": {"x": 2, "d": 1}, "q3": {"i": 2, "d": 1}}),
        QRELS,
        ["RR@1"],
        excluded=benchmark.excluded,
        resampling=Resampling(resamples=20),
    )
    if not records:
        return SplitEvaluation(benchmark, ("RR@1",), first, None, (), {}, ())
    run = run_lines_of({r["query_id"]: {h["id"]: -i for i, h in enumerate(r["hits"])} for r in records})
    again = score(run, QRELS, ["RR@1"], excluded=benchmark.excluded, resampling=Resampling(resamples=20))
    compared = compare(first.measured, again.measured, resampling=Resampling(resamples=20))
    result = Result("toy", Identity("toy"), {"RR@1": 0.5})
    return SplitEvaluation(benchmark, ("RR@1",), first, again, records, compared, (result,))


QUERY = st.sampled_from(["q1", "q2", "q3", "q4"])


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(QUERY, scored() | st.just([]), min_size=1),
    st.dictionaries(QUERY, scored() | st.just([])),
    st.dictionaries(QUERY, st.permutations([f"d{i}" for i in range(10)])),
    st.dictionaries(QUERY, grades, min_size=1),
    st.dictionaries(QUERY, kinds),
    st.sampled_from([None, 1, 3]),
)
def test_whatever_the_files_say_it_is_told_or_named(lists, other, first, qrels, named, depth):
    options = {"first": first or None, "depth": depth, "kinds": named or None}
    try:
        found = analyse(
            listing(lists, score_kind="probability"),
            qrels,
            against=listing(other) if other else None,
            resampling=Resampling(resamples=10),
            **options,
        )
    except InputError:
        # Files that do not belong together; and kinds without a pair.
        runs = [run for run in (lists, other, first) if run]
        assert named or not all(set(run) & set(qrels) for run in runs)
        return
    told = found.as_json()
    json.dumps(told, allow_nan=False)
    good = sum(any(grade > 0 for grade in by.values()) for by in qrels.values())
    assert told["failing"]["queries"] == good
    assert sum(row["queries"] for row in told["by_relevant"]["bins"]) == good
    assert sum(told["failing"][name] for name in OUTCOMES) == good
    assert told["counts"]["judged"] == len(qrels)
    again = analyse(
        listing(dict(reversed(lists.items())), score_kind="probability"),
        dict(reversed(qrels.items())),
        against=listing(other) if other else None,
        resampling=Resampling(resamples=10),
        **options,
    )
    assert again.as_json() == told, "the order of queries changes nothing"


def test_an_evaluated_split():
    records = [
        {
            "query_id": "q1",
            "score_kind": "probability",
            "hits": [{"id": "i", "score": 0.5}, {"id": "d", "score": 0.5}],
        },
        {
            "query_id": "q2",
            "score_kind": "probability",
            "hits": [{"id": "d", "score": 0.9}, {"id": "x", "score": 0}],
        },
        {
            "query_id": "q3",
            "score_kind": "probability",
            "hits": [{"id": "d", "score": 0.9}, {"id": "i", "score": 0.1}],
        },
    ]
    found = analyse_evaluated(split(records), kinds=KINDS, **QUICK)
    assert found.budget.measure == "RR@1"
    assert found.budget.first == {"q1": 1.0, "q2": 0.0, "q3": 1.0}
    assert (found.ties.tied, found.mishaps.repairs) == (2, 0)
    assert found.confusion.relation("indirect", "direct").rates == {"q1": 1.0, "q3": 0.0}
    alone = analyse_evaluated(split([]), name="nDCG@1", **QUICK)
    assert (alone.ties, alone.mishaps, alone.budget.first) == (None, None, None)
    assert alone.budget.achieved == {"q1": 1.0, "q2": 0.0, "q3": 0.5}
