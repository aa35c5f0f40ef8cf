"""Reasoning that a server returns apart from its completion stays with the hit, whatever the recipe."""

from __future__ import annotations

import pytest
from scripts import full_backend

from limrank_plugins import Document, Reranker
from limrank_plugins.backends.protocols import Generate, Generated, ReadLabels

DOCUMENTS = [Document("first"), Document("second")]
WRITERS = {
    "retro": "<score>40</score>",
    "rankgpt": "[2] > [1]",
    "insertrank": "[2] > [1]",
    "reasonrank": "<answer>[2] > [1]</answer>",
    "mm-r5": "<answer>[2, 1]</answer>",
    "setwise:readout=generation": "[B]",
    "rank-r1": "<answer>[2]</answer>",
    "pairwise:readout=generation,schedule=heap": "[B]",
}


@pytest.mark.parametrize("recipe", ["limrank", "rank1", *WRITERS])
@pytest.mark.parametrize("samples", [1, 3])
def test_it_is_the_hits_explanation(recipe: str, samples: int):
    completion = WRITERS.get(recipe, "true")
    backend = full_backend(generate=lambda prompt: ("Acid curdles milk.", completion))
    ranking = Reranker(recipe, backend=backend, samples=samples).rank("why", DOCUMENTS)
    assert not ranking.failures
    assert {hit.explanation for hit in ranking} == {"Acid curdles milk."}


@pytest.mark.parametrize("recipe", ["limrank", *WRITERS])
def test_it_stands_before_reasoning_inside_the_completion(recipe: str):
    completion = f"<think>And so on.</think>{WRITERS.get(recipe, '')}"
    if recipe == "limrank":  # whose prompt has opened it
        completion = "And so on.</think>"
    backend = full_backend(generate=lambda prompt: ("Acid curdles milk.", completion))
    ranking = Reranker(recipe, backend=backend).rank("why", DOCUMENTS)
    assert {hit.explanation for hit in ranking} == {"Acid curdles milk.\n\nAnd so on."}


def test_an_analysis_before_a_written_grade_is_kept_behind_it():
    backend = full_backend(generate=lambda prompt: ("Hm.", "It matches. <score>40</score>"))
    ranking = Reranker("retro", backend=backend).rank("why", DOCUMENTS[:1])
    assert (ranking[0].score, ranking[0].explanation) == (40, "Hm.\n\nIt matches.")


def test_an_answer_behind_it_is_read_without_an_answer_tag():
    """The reasoning is over, so that labels in the completion are no longer part of it."""
    backend = full_backend(generate=lambda prompt: ("[1] or [2]?", "The order is [2] > [1]."))
    ranking = Reranker("reasonrank", backend=backend).rank("why", DOCUMENTS)
    assert ranking.ids == ["1", "0"]
    assert ranking.repairs == 1, "the tag is missing"


def test_the_verdict_is_read_behind_it_and_not_behind_the_answer():
    backend = full_backend(generate=lambda prompt: ("Acid curdles milk.", "true"))
    Reranker("limrank", backend=backend).rank("why", DOCUMENTS[:1])
    (read,) = [request for request in backend.requests if isinstance(request, ReadLabels)]
    assert read.prompt.text.endswith("<think>\nAcid curdles milk.\n</think>")
    assert not any("Acid" in segment.text for segment in read.prompt.segments if segment.trusted)


@pytest.mark.parametrize(
    ("recipe", "answer"), [("reasonrank", "[2] > [1]</answer>"), ("rank-r1", "[2]</answer>")]
)
def test_reasoning_that_its_budget_ended_is_closed_and_the_answer_asked_for(recipe: str, answer: str):
    backend = full_backend()
    replies = iter([Generated("", "length", reasoning="So far. And th"), Generated(answer, "end")])
    backend._one = lambda request: next(replies)
    ranking = Reranker(recipe, backend=backend).rank("why", DOCUMENTS)
    assert ranking.ids == ["1", "0"]
    assert {hit.explanation for hit in ranking} == {"So far. And th"}
    first, second = backend.requests
    assert isinstance(second, Generate)
    assert second.prompt.text == first.prompt.text + "So far. </think> <answer>"


@pytest.mark.parametrize("recipe", ["reasonrank", "rank-r1"])
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Generated("", "end"), "wrote no answer"),
        (Generated(" \n", "length"), "spent its budget"),
        (Generated("I cannot assist with this.", "length"), "refused: 'I cannot"),
        (Generated("", "end", reasoning="I cannot assist with this."), "refused: 'I cannot"),
    ],
)
def test_no_answer_is_asked_for_behind_a_refusal_or_nothing(recipe: str, reply: Generated, reason: str):
    backend = full_backend()
    backend._one = lambda request: reply
    ranking = Reranker(recipe, backend=backend).rank("why", DOCUMENTS)
    assert [reason in failure.reason for failure in ranking.failures] == [True, True]
    assert len(backend.requests) == 1
