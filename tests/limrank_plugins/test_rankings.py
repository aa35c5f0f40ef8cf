"""Sorting, ties and failures, against a brute-force reading of the rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document, Query, load_recipe
from limrank_plugins.data import Usage, Verdict
from limrank_plugins.rankings import to_ranking
from limrank_plugins.verdicts import Outcome, ranked

scores = st.sampled_from([None, 0.0, 0.25, 0.5, 1.0])
verdicts = st.lists(st.builds(Verdict, scores, st.sampled_from([0.1, 0.2, 0.3])), max_size=12)


def test_ties_are_broken_by_the_unreasoned_probability_then_by_the_first_stage():
    judged = [
        Verdict(1.0, tie=0.2),
        Verdict(1.0, tie=0.9),
        Verdict(0.5, tie=1.0),
        Verdict(1.0, tie=0.9),
    ]
    assert ranked(judged) == [1, 3, 0, 2]


def test_ties_without_a_tie_breaker_keep_the_first_stages_order():
    assert ranked([Verdict(s) for s in (0.5, 1.0, 0.5, 1.0, 0.5)]) == [1, 3, 0, 2, 4]


def test_a_tie_breaker_only_some_have_is_not_used():
    assert ranked([Verdict(1.0), Verdict(1.0, tie=0.9)]) == [0, 1]


@given(verdicts)
def test_it_is_a_permutation_sorted_by_the_rule(judged: list[Verdict]):
    order = ranked(judged)
    assert sorted(order) == list(range(len(judged)))
    kept = [i for i in order if judged[i].score is not None]
    assert kept == sorted(kept, key=lambda i: (-judged[i].score, -judged[i].tie, i))


@given(verdicts)
def test_every_failed_document_is_at_its_input_position(judged: list[Verdict]):
    order = ranked(judged)
    assert all(order[i] == i for i, verdict in enumerate(judged) if verdict.score is None)


@given(verdicts, st.sampled_from([0.0, 0.3, 0.5, 2.0]))
def test_a_threshold_drops_scores_below_it_and_nothing_else(judged: list[Verdict], threshold: float):
    order = ranked(judged, threshold)
    assert set(order) == {i for i, j in enumerate(judged) if j.score is None or j.score >= threshold}
    failed = [i for i in order if judged[i].score is None]
    assert failed == sorted(failed)


def test_a_document_without_a_score_is_a_failure_even_if_nobody_says_why():
    recipe, documents = load_recipe("limrank"), [Document("a", id="x"), Document("b", id="y")]
    outcome = Outcome((Verdict(None), Verdict(0.5)))
    ranking = to_ranking(recipe, Query("q"), documents, outcome)
    assert ranking.failures == (("x", "no reason given"),)
    assert (ranking[0].id, ranking[0].failure) == ("x", "no reason given")
    ordered = to_ranking(recipe, Query("q"), documents, Outcome((Verdict(None), Verdict(None)), [1, 0]))
    assert (ordered.ids, ordered.failures) == (["y", "x"], ())


usages = st.builds(
    Usage, prompt_tokens=st.integers(0, 99), cached=st.integers(0, 1), cost=st.sampled_from([0.0, 0.25, 2.0])
)


@given(st.lists(usages, max_size=5))
def test_usages_add_up_the_same_at_once_and_one_by_one(many: list[Usage]):
    assert Usage.total(many) == sum(many, Usage())
