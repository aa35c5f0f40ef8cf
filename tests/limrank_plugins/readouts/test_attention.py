"""Attention becomes scores by the paper's formula, and by better sense where the released code fails."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scripts import passages_of, unit

from limrank_plugins import Document, Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.errors import CapabilityError, InputError
from limrank_plugins.readouts.attention import CONTENT_FREE, document_score
from limrank_plugins.segments import Prompt

TEXTS = [f"passage number {i}" for i in range(5)]
Script = Callable[[Prompt], Sequence[Sequence[float]]]


def by_word(prompt: Prompt) -> list[list[float]]:
    """Numbers that depend on word and place, and on whether the query has content."""
    free = f": {CONTENT_FREE}" in prompt.text[-10:]
    return [
        [unit(f"{free}{i}{word}") for i, word in enumerate(f"{text} end".split())]
        for text in passages_of(prompt)
    ]


def ranked(
    script: Script = by_word, recipe: str = "icr", **options: object
) -> tuple[Reranker, ScriptedBackend]:
    backend = ScriptedBackend(attend=script)
    return Reranker(recipe, backend=backend, **options), backend


def reference(weights: Sequence[float], calibration: Sequence[float]) -> float:
    """The formula with the standard library."""
    d = [a - b for a, b in zip(weights, calibration, strict=True)]
    if len(d) < 2:
        return sum(d)
    bound = statistics.fmean(d) - 2 * statistics.stdev(d)
    return sum(value for value in d if value > bound)


# ---- the score ----------------------------------------------------------------------------------

values = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40, unique=True)


@given(values, st.randoms(use_true_random=False))
def test_the_score_is_the_papers(weights: list[float], random: object) -> None:
    calibration = [random.uniform(-1, 1) for _ in weights]
    first, second = np.float32(weights), np.float32(calibration)
    d = (first.astype(float) - second).tolist()
    if len(d) > 1:  # values without spread, or on the border to a rounding error, are tested below
        bound = statistics.fmean(d) - 2 * statistics.stdev(d)
        assume(min(abs(value - bound) for value in d) > 1e-6)
    found = document_score(first, second)
    assert found == pytest.approx(reference(first.tolist(), second.tolist()), abs=1e-6)


def test_a_token_far_below_the_others_is_noise() -> None:
    plain = [0.2, 0.21, 0.19, 0.2, 0.2, 0.21, 0.19, 0.2]
    assert document_score(np.float32([*plain, -9.0])) == pytest.approx(sum(plain))
    assert document_score(np.float32([*plain, 9.0])) == pytest.approx(sum(plain) + 9.0)
    assert document_score(np.float32(plain), np.float32([0.1] * 8)) == pytest.approx(sum(plain) - 0.8)


def test_the_deviation_is_that_of_a_sample() -> None:
    # With n in place of n - 1 the bound would be -0.95, and the last token would be left out.
    kept = [0.15, -0.15, 0.15, -0.15, 0.0, -1.0]
    assert document_score(np.float32(kept)) == pytest.approx(-1.0)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_tokens_without_spread_are_all_kept(count: int) -> None:
    # The released code scores a document of one token 0, as its deviation is no number.
    assert document_score(np.float32([0.1] * count)) == pytest.approx(0.1 * count)
    assert document_score(np.float32([0.3] * count), np.float32([0.4] * count)) == pytest.approx(-0.1 * count)


def test_no_token_is_no_attention() -> None:
    assert document_score(np.float32([])) == 0.0


# ---- the question ---------------------------------------------------------------------------------


def test_documents_are_shown_worst_first_and_a_query_without_content_is_asked_too() -> None:
    reranker, backend = ranked()
    ranking = reranker.rank("why?", TEXTS)
    (request,) = backend.requests
    own, free = request.prompts
    assert passages_of(own) == passages_of(free) == TEXTS[::-1]
    assert own.text.endswith("Query: why?")
    assert own.text.removesuffix("why?") + "N/A" == free.text
    assert not own.segments[-1].trusted
    for hit in ranking:
        place = TEXTS[::-1].index(hit.document.text)
        found = reference(by_word(own)[place], by_word(free)[place])
        assert hit.score == pytest.approx(found, abs=1e-6)
    assert [hit.score for hit in ranking] == sorted((hit.score for hit in ranking), reverse=True)
    assert (ranking.score_kind, ranking.comparable) == ("attention", False)


def test_options() -> None:
    reranker, backend = ranked(recipe="icr:order=best-first,calibrate=no,task=question")
    ranking = reranker.rank("why?", TEXTS)
    ((own,),) = [request.prompts for request in backend.requests]
    assert passages_of(own) == TEXTS
    assert own.text.endswith("Question: why?")
    for hit in ranking:
        row = by_word(own)[hit.index]
        assert hit.score == pytest.approx(reference(row, [0.0] * len(row)), abs=1e-6)
    for bad in ("order=first", "calibrate=maybe", "task=x"):
        with pytest.raises(InputError, match=bad.split("=")[0]):
            ranked(recipe=f"icr:{bad}")


def test_an_instruction_goes_around_both_queries() -> None:
    reranker, backend = ranked(instruction="Find proofs. {{ query }}!")
    reranker.rank("why", TEXTS[:2])
    own, free = backend.requests[0].prompts
    assert own.text.endswith("Find proofs. why!")
    assert free.text.endswith("Find proofs. N/A!")


def test_neither_query_nor_document_writes_a_label() -> None:
    reranker, backend = ranked()
    reranker.rank("is it [2]?", ["I am [1] > [2]", "plain"])
    for prompt in backend.requests[0].prompts:
        untrusted = "".join(segment.text for segment in prompt.segments if not segment.trusted)
        assert "[" not in untrusted


# ---- ties, samples, failures ------------------------------------------------------------------------


def test_a_query_without_content_keeps_the_first_stages_order() -> None:
    ranking = ranked()[0].rank(CONTENT_FREE, TEXTS)
    assert ranking.ids == ["0", "1", "2", "3", "4"]
    assert {hit.score for hit in ranking} == {0.0}


def test_documents_that_read_the_same_are_a_tie_wherever_they_stand() -> None:
    def by_place(prompt: Prompt) -> list[list[float]]:
        return [[0.1 * (i + 1)] * 2 for i, _ in enumerate(passages_of(prompt))]

    reranker, _ = ranked(by_place, recipe="icr:calibrate=no")
    ranking = reranker.rank("why", ["a", "b", "a"])
    scores = {hit.id: hit.score for hit in ranking}
    # Shown as 2, 1, 0: the first gets the most, the last the least; the twins get their mean.
    assert scores == pytest.approx({"0": 0.4, "1": 0.4, "2": 0.4})
    assert scores["0"] == scores["2"]


def test_samples_are_permutations_whose_scores_are_averaged() -> None:
    def by_place(prompt: Prompt) -> list[list[float]]:
        return [[float(i)] for i, _ in enumerate(passages_of(prompt))]

    reranker, backend = ranked(by_place, recipe="icr:calibrate=no", samples=4, seed=3)
    ranking = reranker.rank("why", TEXTS)
    shown = [passages_of(request.prompts[0]) for request in backend.requests]
    assert len(shown) == 4
    assert len({tuple(texts) for texts in shown}) > 1
    for hit in ranking:
        mean = statistics.fmean(texts.index(hit.document.text) for texts in shown)
        assert hit.score == pytest.approx(mean)


def test_a_failed_permutation_is_a_repair_and_no_answer_a_failure() -> None:
    calls: list[Prompt] = []

    def once(prompt: Prompt) -> list[list[float]]:
        calls.append(prompt)
        if len(calls) == 1:
            raise ScriptedFailure("out of memory")
        return by_word(prompt)

    ranking = ranked(once, samples=3)[0].rank("why", TEXTS)
    assert (ranking.repairs, ranking.failures) == (1, ())

    def never(prompt: Prompt) -> list[list[float]]:
        raise ScriptedFailure("out of memory")

    ranking = ranked(never)[0].rank("why", TEXTS)
    assert ranking.ids == ["0", "1", "2", "3", "4"]
    assert {failure.reason for failure in ranking.failures} == {"out of memory"}


def test_what_is_no_number_is_a_failure() -> None:
    reranker, _ = ranked(lambda prompt: [[float("nan")] for _ in passages_of(prompt)])
    ranking = reranker.rank("why", TEXTS)
    assert len(ranking.failures) == len(TEXTS)
    assert "is nan" in ranking.failures[0].reason


def test_a_document_of_which_nothing_was_read_fails_and_an_empty_one_does_not() -> None:
    reranker, _ = ranked(lambda prompt: [[0.5] if "x" in text else [] for text in passages_of(prompt)])
    ranking = reranker.rank("why", [Document("x"), Document(""), Document("cut away")])
    scores = {hit.index: hit.score for hit in ranking}
    assert (scores[1], scores[2]) == (0.0, None)
    assert [failure.id for failure in ranking.failures] == [ranking[2].id]
    assert "nothing of the document fits" in ranking.failures[0].reason


def test_a_backend_without_attention_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"'icr' needs .*these can: transformers"):
        Reranker("icr", backend=ScriptedBackend(read_labels=lambda prompt: [0.0]))
