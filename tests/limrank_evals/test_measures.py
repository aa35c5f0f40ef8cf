"""Measures against their formulas, and means that say which queries they are over."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.measures import DEFAULT_MEASURES, measure, parse_measure
from limrank_plugins.errors import InputError

IDS = [f"d{i}" for i in range(12)]
QUERIES = ["q1", "q2", "q 3", "–"]
RANKED = st.dictionaries(
    st.sampled_from(QUERIES), st.lists(st.sampled_from(IDS), unique=True, max_size=12), min_size=1
)
QRELS = st.dictionaries(
    st.sampled_from(QUERIES),
    st.dictionaries(st.sampled_from([*IDS, "unseen"]), st.integers(-1, 3), min_size=1),
    min_size=1,
)


def ndcg(found: list[str], grades: dict[str, int], k: int) -> float:
    gains = [max(grades.get(d, 0), 0) for d in found[:k]]
    best = sorted((max(g, 0) for g in grades.values()), reverse=True)[:k]

    def dcg(gains: list[int]) -> float:
        return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))

    return dcg(gains) / dcg(best) if any(best) else 0.0


def average_precision(found: list[str], grades: dict[str, int], k: int) -> float:
    gold = {d for d, g in grades.items() if g > 0}
    hits = [place for place, d in enumerate(found[:k], start=1) if d in gold]
    return sum(number / place for number, place in enumerate(hits, start=1)) / len(gold) if gold else 0.0


def recall(found: list[str], grades: dict[str, int], k: int) -> float:
    gold = {d for d, g in grades.items() if g > 0}
    return len(gold & set(found[:k])) / len(gold) if gold else 0.0


def reciprocal_rank(found: list[str], grades: dict[str, int], k: int) -> float:
    return max((1 / place for place, d in enumerate(found[:k], start=1) if grades.get(d, 0) > 0), default=0.0)


FORMULAS = {
    "nDCG": ndcg,
    "MAP": average_precision,
    "R": recall,
    "RR": reciprocal_rank,
    "MRR": reciprocal_rank,
}


def test_ids_that_no_judgement_knows_are_told():
    strange = measure({"q1": ["x1", "x2"]}, {"q1": {"d1": 1, "d2": 0}}, ["nDCG@10"])
    assert strange.means == {"nDCG@10": 0}
    assert strange.warnings == (
        "no document of the run is judged: its ids are like 'x1', those of the judgements are like 'd1'",
    )
    assert not measure({"q1": ["x1", "d2"]}, {"q1": {"d1": 1, "d2": 0}}, ["nDCG@10"]).warnings
    assert not measure({"q1": []}, {"q1": {"d1": 1}}, ["nDCG@10"]).warnings


@given(RANKED, QRELS, st.integers(1, 12))
def test_measures_are_their_formulas(ranked: dict[str, list[str]], qrels: dict[str, dict[str, int]], k: int):
    if not set(ranked) & set(qrels):
        with pytest.raises(InputError, match="no query of the run is judged"):
            measure(ranked, qrels)
        return
    found = measure(ranked, qrels, [f"{name}@{k}" for name in FORMULAS])
    for name, formula in FORMULAS.items():
        values = found.per_query[f"{name}@{k}"]
        assert list(values) == sorted(qrels)
        for query, value in values.items():
            assert value == pytest.approx(formula(ranked.get(query, []), qrels[query], k), abs=1e-9)
        assert found.means[f"{name}@{k}"] == pytest.approx(sum(values.values()) / len(qrels))


def test_every_mean_says_which_queries_it_is_over():
    qrels = {"found": {"a": 1}, "lost": {"a": 1}, "empty": {"a": 1}, "hopeless": {"a": 0}}
    ranked = {"found": ["a"], "hopeless": ["a"], "empty": [], "stranger": ["a"]}
    found = measure(ranked, qrels, ["nDCG@10", "R@5"])
    assert found.means == {"nDCG@10": 0.25, "R@5": 0.25}
    assert found.coverage.counts() == {
        "judged": 4,
        "without_results": 2,
        "without_relevant": 1,
        "without_judgements": 1,
    }
    told = found.coverage.warnings()
    assert told == [
        "2 queries (empty, lost) judged but without results: counted as 0",
        "1 query (hopeless) judged but without relevant documents: counted as 0",
        "1 query (stranger) in the run but not judged: left out",
    ]


def test_measures_keep_the_names_they_were_asked_for_by():
    found = measure({"q": ["b", "a"]}, {"q": {"a": 1}}, ["MRR", "RR", "MAP@1000", "AP(rel=2)@5"])
    assert found.means == {"MRR": 0.5, "RR": 0.5, "MAP@1000": 0.5, "AP(rel=2)@5": 0.0}
    assert tuple(measure({"q": ["a"]}, {"q": {"a": 1}}).means) == DEFAULT_MEASURES


def test_a_provider_that_wants_numbered_queries_gets_them():
    found = measure({"a query": ["x y"]}, {"a query": {"x y": 1}}, ["Judged@10", "RR@10"])
    assert found.means == {"Judged@10": 1.0, "RR@10": 1.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nDGC@10", "there is no measure 'nDGC@10'"),
        ("nDCG@", "there is no measure"),
        ("", "there is no measure"),
        ("nDCG@0", "must be > 0"),
        ("nDCG@-1", "there is no measure"),
        ("NumRet", "a count, not a mean"),
        ("__import__('os')", "there is no measure"),
        ("p-mrr", "there is no measure"),
    ],
)
def test_unknown_measures_are_named(name: str, message: str):
    with pytest.raises(InputError, match=message):
        parse_measure(name)


def test_other_bad_input():
    with pytest.raises(InputError, match="there are no judgements"):
        measure({"q": ["a"]}, {})
    with pytest.raises(InputError, match="it is empty"):
        measure({}, {"q": {"a": 1}})
    with pytest.raises(InputError, match="like 'x', those of the judgements are like 'q'"):
        measure({"x": ["a"]}, {"q": {"a": 1}})
    with pytest.raises(InputError, match="these repeat: 'a'"):
        measure({"q": ["a", "a"]}, {"q": {"a": 1}})
    with pytest.raises(InputError, match="at least one measure"):
        measure({"q": ["a"]}, {"q": {"a": 1}}, [])


def test_ids_may_be_any_text():
    """A lone surrogate, which JSON can hold, once crashed the process inside pytrec_eval."""
    odd = ["\ud800", "\x00", "a b", "", "\u202e"]
    found = measure({"\udfff": odd[::-1]}, {"\udfff": {odd[0]: 1, odd[4]: 1}}, ["RR", "P@5", "AP"])
    assert found.per_query["RR"]["\udfff"] == 1.0
    assert found.means == pytest.approx({"RR": 1.0, "P@5": 0.4, "AP": (1 + 2 / 5) / 2})
