"""What became of every query, and what it has to do with the number of relevant documents."""

from __future__ import annotations

import pytest
from error_lists import grades, listing
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.comparison import Resampling, compare_values
from limrank_evals.errors.candidates import candidates_of
from limrank_evals.errors.error_budget import budget_of
from limrank_evals.errors.query_failures import OUTCOMES, BuriedQuery, query_failures_of
from limrank_evals.errors.relevant_counts import Bin, parse_bins, relevant_counts_of
from limrank_evals.stats import wilson
from limrank_plugins.errors import InputError

QUICK = Resampling(0.95, 200, 0)
names = st.permutations([f"d{i}" for i in range(8)])


def test_the_first_stage_s_mistakes_are_not_the_ranking_s():
    qrels = {q: {"good": 1, "also": 1} for q in ("fine", "low", "never", "lost", "gone", "none")}
    qrels["none"] = {"good": 0}
    first = {
        "fine": ["x", "good", "y"],
        "low": ["x", "good", "y"],
        "never": ["x", "y", "z"],
        "lost": ["x", "y", "also", "good", "z"],
        "gone": ["good"],
    }
    ranked = {
        "fine": ["good", "x", "y"],
        "low": ["x", "y", "good"],
        "never": ["z", "y", "x"],
        "lost": ["z", "y"],
    }
    found = query_failures_of(ranked, candidates_of(ranked, first, {}), qrels, 2)
    assert found.outcomes == {
        "fine": "answered",
        "gone": "without_results",
        "lost": "buried",
        "low": "buried",
        "never": "not_found",
    }
    assert found.buried == (BuriedQuery("lost", "also", None, 3, 2), BuriedQuery("low", "good", 3, 2, 2))
    assert found.dropped == ("low",)
    only_here = query_failures_of(
        {"q": ["x", "y", "good"]},
        candidates_of({"q": ["x", "y", "good"]}, {"q": ["x", "y"]}, {}),
        {"q": {"good": 1}},
        2,
    )
    assert only_here.buried == (BuriedQuery("q", "good", 3, None, 1),)
    assert only_here.dropped == ()
    assert found.failures == 4
    told = found.as_json(0.95)
    assert [told[outcome] for outcome in OUTCOMES] == [1, 1, 1, 2]
    assert told["queries"] == 5
    assert told["of_failures"]["buried"] == {"share": 0.5, "interval": list(wilson(2, 4))}
    assert told["cases"]["not_found"] == ["never"]
    assert query_failures_of(ranked, candidates_of(ranked, None, {}), qrels, 2).dropped is None
    assert query_failures_of(ranked, candidates_of(ranked, None, {}), qrels, 3).outcomes["low"] == "answered"


def test_nothing_failed():
    found = query_failures_of({"q": ["a"]}, candidates_of({"q": ["a"]}, None, {}), {"q": {"a": 1}}, 1)
    assert found.as_json(0.95)["of_failures"]["buried"] == {"share": None, "interval": None}


@given(names, names, st.integers(1, 8), st.integers(1, 4), grades)
def test_every_query_is_exactly_one_and_oracles_agree(first, order, depth, top, qrels):
    ranked = {"q": [d for d in order if d in first[:depth]]}
    found = query_failures_of(ranked, candidates_of(ranked, {"q": first}, {}, depth), {"q": qrels}, top)
    good = {d for d, grade in qrels.items() if grade > 0}
    if not good:
        assert found.outcomes == {}
        return
    # By the definitions: success at the top, and the ceiling of a recall over all candidates.
    success = bool(good & set(ranked["q"][:top]))
    ceiling = bool(good & set(first[:depth]))
    wanted = "answered" if success else "buried" if ceiling else "not_found"
    assert found.outcomes == {"q": wanted}
    assert (found.dropped == ("q",)) == (wanted == "buried" and bool(good & set(first[: min(top, depth)])))


def test_bins_are_read():
    assert parse_bins("1,2,3-5,6-10,11-") == (Bin(1, 1), Bin(2, 2), Bin(3, 5), Bin(6, 10), Bin(11, None))
    assert [one.label for one in parse_bins("1, 2-2 ,3-5,11-")] == ["1", "2", "3–5", ">10"]
    for written in ("", "a", "0", "2,1", "1-3,3-5", "5-4", "1-,2", "1,,2", "-3", "1.5"):
        with pytest.raises(InputError, match="bins "):
            parse_bins(written)


@given(st.dictionaries(st.sampled_from("abcdef"), grades, min_size=1))
def test_every_query_is_in_its_bin(qrels):
    found = relevant_counts_of(qrels, parse_bins("1,3-5,6-"))
    for one, queries in found.bins:
        for query in queries:
            assert one.holds(sum(grade > 0 for grade in qrels[query].values()))
    placed = [query for _, queries in found.bins for query in queries]
    assert sorted([*placed, *found.outside]) == sorted(
        query for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())
    )
    assert all(found.relevant[query] == 2 for query in found.outside)


def test_a_run_that_fails_queries_with_few_relevant_documents():
    """Where there is one relevant document it stands last, where there are four they stand first."""
    bad = [f"bad{i}" for i in range(6)]
    qrels, ranked, first = {}, {}, {}
    for number in range(24):
        query, size = f"q{number:02}", 1 if number % 2 else 4
        good = [f"good{i}" for i in range(size)]
        qrels[query] = dict.fromkeys(good, 1)
        first[query] = [*good, *bad]
        ranked[query] = [*bad, *good] if size == 1 else [*good, *bad]
    run = listing({query: " ".join(found) for query, found in ranked.items()})
    candidates = candidates_of(ranked, first, {})
    budget = budget_of(run, candidates.ranked, candidates.ranked, qrels, "nDCG@5")
    failing = query_failures_of(ranked, candidates, qrels, 5)
    told = relevant_counts_of(qrels, parse_bins("1,2,3-")).as_json(budget, failing, QUICK)
    few, empty, many = told["bins"]
    assert (few["queries"], few["achieved"]["mean"], few["ceiling"]["mean"]) == (12, 0.0, 1.0)
    assert (few["buried"], few["dropped"], few["not_found"], few["answered"]) == (12, 12, 0, 0)
    assert few["against_first_stage"]["difference"] == -1
    assert few["against_first_stage"]["p"]["randomisation"] == pytest.approx(2 / 2**12)
    assert (empty["queries"], empty["achieved"], empty["against_first_stage"]) == (0, None, None)
    assert (many["achieved"]["mean"], many["buried"], many["against_first_stage"]["tied"]) == (1.0, 0, 12)
    trend = told["trend"]
    assert trend["achieved"]["rho"] == pytest.approx(1)
    assert trend["lost_by_ordering"]["rho"] == pytest.approx(-1)
    assert trend["gained_over_first_stage"] == trend["achieved"]
    assert trend["achieved"]["p"] == 1 / 201
    assert trend["first_stage"] is None, "the first stage is right everywhere: nothing goes with anything"
    first_bin = relevant_counts_of(qrels, parse_bins("1")).bins[0][1]
    assert few["against_first_stage"]["interval"] == list(
        compare_values(
            {q: budget.first[q] for q in first_bin},
            {q: budget.achieved[q] for q in first_bin},
            Resampling(resamples=200),
        ).interval
    )


def test_without_a_first_stage_there_is_nothing_to_compare():
    run = listing({"q": "a"})
    candidates = candidates_of(run.ranked, None, {})
    budget = budget_of(run, candidates.ranked, None, {"q": {"a": 1}})
    failing = query_failures_of(run.ranked, candidates, {"q": {"a": 1}}, 10)
    told = relevant_counts_of({"q": {"a": 1}}, parse_bins("1")).as_json(budget, failing, QUICK)
    (row,) = told["bins"]
    assert (row["first_stage"], row["against_first_stage"], row["dropped"]) == (None, None, None)
    assert set(told["trend"]) == {"achieved", "lost_by_ordering"}
