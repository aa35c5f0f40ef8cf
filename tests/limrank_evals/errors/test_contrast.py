"""Two runs over the same passages: the same pairs, paired tests, and which way is better."""

from __future__ import annotations

import pytest
from error_lists import DIRECT, OUTDATED, REFUTING, SUPPORTING, kinds, listing, scored
from hypothesis import given, settings

from limrank_evals.comparison import Resampling
from limrank_evals.errors.confusion import confusion_of
from limrank_evals.errors.contrast import contrasts_of

QUICK = Resampling(0.95, 100, 0)


def test_a_run_that_was_told_what_the_query_wants():
    queries = [f"q{i}" for i in range(10)]
    named = {q: {"d": DIRECT, "i": SUPPORTING, "n": OUTDATED} for q in queries}
    either = listing(dict.fromkeys(queries, "i d n"))
    direct = listing({q: "d i n" if q != "q9" else "i n d" for q in queries})
    found, left_out = contrasts_of(either, direct, named, None, QUICK)
    assert left_out == 0
    one = found[0].as_json()
    assert (one["worse"], one["better"]) == ("indirect", "direct")
    assert (one["first"], one["second"], one["difference"]) == (1.0, 0.1, -0.9)
    assert one["queries"] == {"both": 10, "less_confused": 9, "as_confused": 1, "more_confused": 0}
    assert one["p"]["randomisation"] == pytest.approx(2 / 2**9)
    assert one["interval"][1] < 0
    assert one["more_confused"] == []
    negative = next(c.as_json() for c in found if (c.worse, c.better) == ("negative", "direct"))
    assert negative["more_confused"] == [{"query": "q9", "first": 0.0, "second": 1.0, "difference": 1.0}]
    back, _ = contrasts_of(direct, either, named, None, QUICK)
    assert back[0].comparison.difference == 0.9


def test_only_pairs_that_both_runs_have():
    named = {"q": {"d": DIRECT, "d2": DIRECT, "i": SUPPORTING, "i2": REFUTING, "away": DIRECT}}
    first = listing({"q": "i d d2 i2"})
    second = listing({"q": [("d", 0.9), ("i", 0.8), ("i2", None), ("d2", 0.1)]})
    found, left_out = contrasts_of(first, second, named, None, QUICK)
    assert left_out == 2, "one failed in the second run, one is in neither"
    (sorts,) = (c for c in found if c.worse == "indirect")
    assert (sorts.comparison.first, sorts.comparison.second) == (1.0, 0.5)
    assert REFUTING not in {c.worse for c in found}


@settings(deadline=None, max_examples=50)
@given(scored(), scored(), kinds)
def test_it_is_the_confusion_of_each_over_what_both_judged(first, second, named):
    runs = [listing({"q": found}) for found in (first, second)]
    judged = [{d for d, score in found if score is not None} for found in (first, second)]
    both = {d: kind for d, kind in named.items() if d in judged[0] & judged[1]}
    found, left_out = contrasts_of(*runs, {"q": named}, None, QUICK)
    assert left_out == len(named) - len(both)
    alone = [confusion_of(run.lists, {"q": both}) for run in runs]
    for one in found:
        told = [
            next(
                r.rates["q"]
                for r in (*confusion.sorts, *confusion.negatives, *confusion.matrix)
                if (r.worse, r.better) == (one.worse, one.better)
            )
            for confusion in alone
        ]
        assert [one.comparison.first, one.comparison.second] == told


@given(scored(), kinds)
def test_a_run_against_itself_differs_in_nothing(found, named):
    run = listing({"q": found})
    for one in contrasts_of(run, run, {"q": named}, None, QUICK)[0]:
        assert one.comparison.difference == 0
        assert one.comparison.record.tied == 1


def test_the_worst_rise_is_first():
    named = {q: {"d": DIRECT, "i": SUPPORTING, "j": SUPPORTING} for q in "abc"}
    first = listing(dict.fromkeys("abc", "d i j"))
    second = listing({"a": "i d j", "b": "i j d", "c": "i j d"})
    one = contrasts_of(first, second, named, None, QUICK)[0][0]
    assert [(change.query, change.difference) for change in one.risen(2)] == [("b", 1.0), ("c", 1.0)]
    assert [change.query for change in one.risen(9)] == ["b", "c", "a"]
    assert one.risen(0) == []
