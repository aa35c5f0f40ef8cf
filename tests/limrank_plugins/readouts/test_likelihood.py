"""The query's likelihood as a score."""

from __future__ import annotations

import math
import statistics

import pytest
from scripts import passage_of, unit

from limrank_plugins import Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.errors import CapabilityError, InputError
from limrank_plugins.segments import Prompt

TEXTS = [f"passage number {i}" for i in range(6)]


def likely(prompt: Prompt, continuation: str) -> list[float]:
    return [-unit(f"{passage_of(prompt)}{word}") for word in continuation.split()]


def test_the_score_is_the_mean_log_probability_of_the_query() -> None:
    backend = ScriptedBackend(likelihood=likely)
    ranking = Reranker("qlm", backend=backend).rank(" why does milk curdle ", TEXTS)
    assert (ranking.score_kind, ranking.comparable) == ("likelihood", False)
    for hit in ranking:
        values = [-unit(f"{hit.document.text}{word}") for word in ["why", "does", "milk", "curdle"]]
        assert hit.score == pytest.approx(statistics.fmean(values))
    assert [hit.score for hit in ranking] == sorted((hit.score for hit in ranking), reverse=True)


def test_the_query_is_the_continuation_and_nothing_of_the_prompt() -> None:
    backend = ScriptedBackend(likelihood=likely)
    Reranker("qlm", backend=backend, instruction="Prove: {{ query }}").rank(" milk? ", TEXTS)
    for request, text in zip(backend.requests, TEXTS, strict=True):
        assert request.continuation == " Prove:  milk?"
        assert "milk" not in request.prompt.text
        assert request.prompt.text.endswith("\nQuestion:")
        assert f"Passage: {text}\n" in request.prompt.text
        assert [segment.trusted for segment in request.prompt.segments if segment.cuttable] == [False]


def test_the_sum_gives_the_same_order() -> None:
    backend = ScriptedBackend(likelihood=likely)
    mean = Reranker("qlm", backend=backend).rank("why milk", TEXTS)
    total = Reranker("qlm:reduce=sum", backend=backend).rank("why milk", TEXTS)
    assert mean.ids == total.ids
    for one, other in zip(mean, total, strict=True):
        assert other.score == pytest.approx(2 * one.score)
    with pytest.raises(InputError, match="reduce must be"):
        Reranker("qlm:reduce=max", backend=backend)


@pytest.mark.parametrize("values", [[], [math.nan], [-1.0, -math.inf]])
def test_what_is_no_number_is_a_failure(values: list[float]) -> None:
    backend = ScriptedBackend(
        likelihood=lambda prompt, text: values if passage_of(prompt) == TEXTS[2] else [-1.0]
    )
    ranking = Reranker("qlm", backend=backend).rank("why", TEXTS)
    assert [failure.id for failure in ranking.failures] == ["2"]
    assert ranking[2].score is None


def test_a_failure_stays_alone() -> None:
    def broken(prompt: Prompt, text: str) -> list[float]:
        if passage_of(prompt) == TEXTS[4]:
            raise ScriptedFailure("out of memory")
        return likely(prompt, text)

    ranking = Reranker("qlm", backend=ScriptedBackend(likelihood=broken)).rank("why", TEXTS)
    assert ranking.failures == (("4", "out of memory"),)


def test_a_backend_without_likelihoods_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"'qlm' needs .*these can: transformers, seq2seq"):
        Reranker("qlm", backend=ScriptedBackend(read_labels=lambda prompt: [0.0]))
