"""The error budget against every order there is."""

from __future__ import annotations

import itertools

import pytest
from error_lists import grades, listing, scored
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_evals.comparison import Resampling
from limrank_evals.errors.candidates import candidates_of
from limrank_evals.errors.error_budget import budget_of
from limrank_evals.measures import measure
from limrank_plugins.errors import InputError

MEASURES = ["nDCG@3", "AP", "RR@2", "R@2", "P@2", "nDCG", "AP(rel=2)@3", "Success@1"]


def value(order: list[str], qrels: dict[str, int], name: str) -> float:
    return measure({"q": order, "other": ["x"]}, {"q": qrels, "other": {"x": 1}}, [name]).per_query[name]["q"]


@settings(max_examples=25, deadline=None)
@given(scored(5), grades, st.sampled_from(MEASURES))
def test_the_ceiling_is_the_best_of_all_orders(found, qrels, name):
    run = listing({"q": found})
    documents = run.ranked["q"]
    budget = budget_of(run, run.ranked, None, {"q": qrels}, name)
    orders = [list(order) for order in itertools.permutations(documents)]
    assert budget.ceiling["q"] == pytest.approx(max(value(order, qrels, name) for order in orders))
    assert budget.achieved["q"] == pytest.approx(value(documents, qrels, name))
    allowed = [order for order in orders if keeps_scores(order, found)]
    assert documents in allowed
    if budget.ties_best is None:
        assert all(score is None for _, score in found)
    else:
        values = [value(order, qrels, name) for order in allowed]
        assert budget.ties_best["q"] == pytest.approx(max(values))
        assert budget.ties_worst["q"] == pytest.approx(min(values))


def keeps_scores(order: list[str], found: list[tuple[str, float | None]]) -> bool:
    """Whether every place is still held by a document of the same score, and failed ones stay."""
    scores = dict(found)
    return all(
        (document == before if score is None else scores[document] == score)
        for document, (before, score) in zip(order, found, strict=True)
    )


def test_a_hand_made_budget():
    """One of two relevant documents was found, and stands second."""
    run = listing({"q": "x good"})
    found = candidates_of(run.ranked, {"q": ["good", "x", "lost"]}, {}, 2)
    budget = budget_of(run, found.ranked, found.ranked, {"q": {"good": 1, "lost": 1}}, "R@1")
    told = {
        name: part["mean"] if part else None for name, part in budget.as_json(Resampling(0.95, 10, 0)).items()
    }
    assert told == {
        "ideal": 0.5,
        "ceiling": 0.5,
        "achieved": 0.0,
        "lost_by_finding": 0.0,
        "lost_by_ordering": 0.5,
        "first_stage": 0.5,
        "gained_over_first_stage": -0.5,
    }
    wider = budget_of(run, found.ranked, None, {"q": {"good": 1, "lost": 1}}, "R@2")
    assert (wider.ideal["q"], wider.ceiling["q"], wider.achieved["q"]) == (1.0, 0.5, 0.5)


@settings(max_examples=30, deadline=None)
@given(scored(6), grades)
def test_losses_add_up(found, qrels):
    run = listing({"q": found})
    parts = budget_of(run, run.ranked, run.ranked, {"q": qrels}).parts()
    (ideal,), (finding,), (ordering,), (achieved,) = (
        parts[name] for name in ("ideal", "lost_by_finding", "lost_by_ordering", "achieved")
    )
    assert ideal - finding - ordering == pytest.approx(achieved)
    assert min(finding, ordering) >= -1e-12
    assert parts["gained_over_first_stage"] == [0]


def test_means_are_over_all_judged_queries():
    run = listing({"q": "good"})
    budget = budget_of(run, run.ranked, None, {"q": {"good": 1}, "gone": {"a": 1}, "none": {"b": 0}})
    told = budget.as_json(Resampling(0.95, 100, 0))
    assert told["achieved"]["mean"] == pytest.approx(1 / 3)
    assert told["ideal"]["mean"] == pytest.approx(2 / 3)
    assert told["achieved"]["interval"] is not None


def test_measures_without_a_ceiling():
    run = listing({"q": "unjudged bad"})
    with pytest.raises(InputError, match=r"p-MRR compares two rankings"):
        budget_of(run, run.ranked, None, {"q": {"bad": 0}}, "p-MRR")
    with pytest.raises(InputError, match=r"Judged@1 is not at its best where grades descend \(query 'q'\)"):
        budget_of(
            listing({"q": "bad unjudged"}), {"q": ["unjudged", "bad"]}, None, {"q": {"bad": 0}}, "Judged@1"
        )


def test_the_candidates_are_the_shortest_head_that_holds_the_run():
    first = {"q": ["a", "b", "c", "d"], "other": ["z"]}
    short = candidates_of({"q": ["c", "a"]}, first, {})
    assert short.ranked == {"q": ["a", "b", "c"], "other": []}
    assert (short.first, short.strangers, short.missing) == (first, 0, 1)
    odd = candidates_of({"q": ["c", "a"]}, first, {}, 2)
    assert (odd.ranked["q"], odd.first["q"], odd.strangers) == (["a", "b", "c"], ["a", "b"], 1)
    whole = candidates_of({"q": ["c", "a"]}, first, {}, 4)
    assert (whole.ranked["q"], whole.missing) == (["a", "b", "c", "d"], 0)
    out = candidates_of({"q": ["c", "a"]}, first, {"q": {"b"}})
    assert (out.ranked["q"], out.first["q"], out.missing) == (["a", "c"], ["a", "c", "d"], 0)
    new = candidates_of({"q": ["new", "a"]}, first, {})
    assert (new.ranked["q"], new.strangers) == (["a", "new"], 1)
    own = candidates_of({"q": ["c", "a"]}, None, {})
    assert (own.ranked, own.first) == ({"q": ["c", "a"]}, None)


def test_the_first_stage_is_measured_by_its_own_list():
    """Documents that only the run has are candidates, but nothing the first stage found."""
    ranked = {"q": ["new", "a"]}
    found = candidates_of(ranked, {"q": ["a", "b", "c"]}, {})
    budget = budget_of(listing({"q": "new a"}), found.ranked, found.first, {"q": {"new": 1, "c": 1}}, "AP")
    assert budget.first["q"] == pytest.approx(1 / 2 * 1 / 3)
    assert budget.ceiling["q"] == 0.5
