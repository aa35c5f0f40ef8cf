"""The verdict's probability, with and without a thought, against the released formula."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import full_backend

from limrank_plugins import Reranker, ScriptedFailure
from limrank_plugins.backends.protocols import Generate, ReadLabels
from limrank_plugins.data import Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.parsing import cut_to_sentence
from limrank_plugins.readouts.yes_no import mean_verdict, probability
from limrank_plugins.store import Store

finite = st.floats(-80, 80)
HEAD = "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"


@given(finite, finite)
def test_it_is_the_released_formula(true: float, false: float):
    """Rank1: exp(true) / (exp(true) + exp(false)) of log-probabilities."""
    assert probability((true, false)) == pytest.approx(math.exp(true) / (math.exp(true) + math.exp(false)))


@given(finite, finite, st.floats(-50, 50))
def test_a_common_offset_changes_nothing(true: float, false: float, offset: float):
    assert probability((true + offset, false + offset)) == pytest.approx(probability((true, false)), abs=1e-9)


def test_extreme_and_broken_logits():
    assert probability((1e308, -1e308)) == 1.0
    assert probability((-1e308, 1e308)) == 0.0
    assert probability((math.nan, 0.0)) is None
    assert probability((math.inf, math.inf)) is None


def test_without_reasoning_one_forward_pass_reads_the_closed_prompt():
    backend = full_backend()
    ranking = Reranker("limrank", backend=backend, reasoning="none").rank("why", ["a", "b"])
    assert [type(request) for request in backend.requests] == [ReadLabels, ReadLabels]
    expected = HEAD + "Query: why\nPassage: a\n<think>\n</think>"
    assert backend.requests[0].prompt.text == expected
    assert backend.requests[0].labels == (" true", " false")
    assert all(hit.explanation is None for hit in ranking)


def test_a_thought_that_ends_is_read_where_it_ended():
    backend = full_backend(
        generate=lambda p: " I see. It fits.</think> true", read_labels=lambda p: (2.0, 0.0)
    )
    ranking = Reranker("limrank", backend=backend).rank("why", ["a"])
    assert [type(request) for request in backend.requests] == [Generate], "no second prompt for the verdict"
    assert ranking[0].score == pytest.approx(1 / (1 + math.exp(-2)))
    assert ranking[0].explanation == "I see. It fits."


def test_a_thought_over_budget_is_cut_back_closed_and_read():
    backend = full_backend(generate=lambda p: "It says so. Then it goes on and on and")
    ranking = Reranker("limrank", backend=backend, max_reasoning_tokens=6).rank("why", ["a"])
    closed = backend.requests[1]
    assert isinstance(closed, ReadLabels)
    assert closed.prompt.text == HEAD + "Query: why\nPassage: a\n<think>\nIt says so.\n</think>"
    assert ranking[0].explanation == "It says so."
    trusted = [segment.text for segment in closed.prompt.segments if segment.trusted]
    assert trusted[-1] == "\n</think>"
    assert not any("It says so" in text for text in trusted), "the model's words are not trusted"


def test_a_thought_that_ended_without_a_reading_is_not_cut():
    """A backend may stop at the stop string without having read on."""
    from limrank_plugins.backends.protocols import Generated

    backend = full_backend()
    read = backend._one
    backend._one = lambda r: Generated(" No full stop", "stop") if isinstance(r, Generate) else read(r)
    ranking = Reranker("limrank", backend=backend).rank("why", ["a"])
    assert backend.requests[1].prompt.text.endswith("<think> No full stop</think>")
    assert ranking[0].explanation == "No full stop"


@pytest.mark.parametrize("recipe", ["limrank", "rank1", "limrank:intent=direct"])
@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "wrote no reasoning"),
        (("", "\n"), "wrote no reasoning"),
        ("I'm sorry, but I can't help with that.", "refused: \"I'm sorry, but"),
        ("I'm sorry, but I can't help with that.</think> true", "refused: \"I'm sorry, but"),
        (("I cannot do this.", "I cannot do this."), "refused: 'I cannot do this.'"),
    ],
)
def test_no_verdict_is_read_behind_a_refusal_or_nothing(recipe: str, written: object, reason: str):
    backend = full_backend(generate=lambda p: written)
    hit = Reranker(recipe, backend=backend).rank("why", ["a"])[0]
    assert [type(request) for request in backend.requests] == [Generate], "no label is asked for"
    assert hit.score is None
    assert reason in hit.failure


def test_a_model_that_closes_its_reasoning_at_once_has_given_a_verdict():
    backend = full_backend(generate=lambda p: "</think> true", read_labels=lambda p: (2.0, 0.0))
    hit = Reranker("limrank", backend=backend).rank("why", ["a"])[0]
    assert hit.score == pytest.approx(1 / (1 + math.exp(-2)))
    assert not hit.explanation


def test_a_sample_without_reasoning_is_left_out_and_the_request_asked_again(tmp_path: Path):
    from limrank_plugins.backends.protocols import Generated, LabelReading

    def one(request: Generate):
        if request.sample == 1:
            return Generated("I cannot do this.", "stop", LabelReading((9.0, 0.0)), Usage(generated_tokens=4))
        return Generated("Hm.", "stop", LabelReading((0.0, 0.0)), Usage(generated_tokens=2))

    backend = full_backend()
    backend._one = one
    with Store(tmp_path / "store.db") as store:
        ranking = Reranker("limrank", backend=backend, samples=2, store=store).rank("why", ["a"])
        assert (ranking[0].score, ranking.repairs, ranking.usage.generated_tokens) == (0.5, 1, 6)
        single = Reranker("limrank", backend=backend, store=store, temperature=0.0)
        backend._one = lambda request: Generated("", "end")
        assert single.rank("why", ["b"]).failures
        backend._one = one
        assert not single.rank("why", ["b"]).failures, "no store holds what was no reasoning"


def test_cutting_back_can_be_switched_off():
    backend = full_backend(generate=lambda p: "It says so. Then it goes")
    Reranker("limrank", backend=backend, cut_to_sentence=False).rank("why", ["a"])
    assert backend.requests[1].prompt.text.endswith("<think>\nIt says so. Then it goes\n</think>")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("One. Two", "One."),
        ("One! Two? Three", "One! Two?"),
        ("no end at all", "no end at all"),
        ("Done.  \n", "Done."),
        ("", ""),
        ("  Only. ", "Only."),
    ],
)
def test_cut_to_sentence(text: str, kept: str):
    assert cut_to_sentence(text) == kept


@given(st.text(alphabet="ab.!? \n", max_size=30))
def test_cutting_to_a_sentence_is_idempotent_and_a_prefix(text: str):
    assert text.strip().startswith(cut_to_sentence(text))
    assert cut_to_sentence(cut_to_sentence(text)) == cut_to_sentence(text)


def test_samples_are_drawn_apart_and_averaged():
    scores = {0: 1.0, 1: 0.0, 2: -1.0}
    backend = full_backend(generate=lambda p: "Hm.</think>")
    made = Reranker("limrank", backend=backend, samples=3, seed=7)
    backend._reading = lambda request: None  # not reached: readings come with the text
    drawn = []

    def one(request: Generate):
        from limrank_plugins.backends.protocols import Generated, LabelReading

        drawn.append((request.seed, request.sample, request.temperature))
        return Generated(
            "Hm.", "stop", LabelReading((scores[request.sample], 0.0)), Usage(generated_tokens=2)
        )

    backend._one = one
    ranking = made.rank("why", ["a"])
    assert drawn == [(7, 0, 0.7), (7, 1, 0.7), (7, 2, 0.7)]
    mean = sum(1 / (1 + math.exp(-z)) for z in scores.values()) / 3
    assert ranking[0].score == pytest.approx(mean)
    assert ranking.usage.generated_tokens == 6


def test_the_mean_leaves_failed_samples_out_and_counts_them():
    samples = [
        Verdict(0.2, explanation="low"),
        Verdict(None, failure="out"),
        Verdict(0.9, explanation="high"),
    ]
    mean = mean_verdict(samples)
    assert mean.score == pytest.approx(0.55)
    assert mean.repairs == 1
    assert mean_verdict([Verdict(None, failure="first"), Verdict(None, failure="second")]).failure == "first"


def test_a_failed_verdict_keeps_its_thought_and_is_no_number():
    def out(prompt: object) -> list[float]:
        raise ScriptedFailure("server gone")

    backend = full_backend(generate=lambda p: "Thinking. And", read_labels=out)
    hit = Reranker("limrank", backend=backend).rank("why", ["a"])[0]
    assert (hit.score, hit.failure, hit.explanation) == (None, "server gone", "Thinking.")


def test_nan_logits_are_a_failure():
    backend = full_backend(read_labels=lambda p: (float("nan"), 0.0))
    hit = Reranker("limrank", backend=backend, reasoning="none").rank("why", ["a"])[0]
    assert hit.score is None
    assert "nan" in hit.failure


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"reasoning": "sometimes"}, "reasoning"),
        ({"samples": 0}, "samples"),
        ({"samples": True}, "samples"),
        ({"samples": 2, "reasoning": "none"}, "samples"),
        ({"samples": 2, "temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"max_reasoning_tokens": 0}, "max_reasoning_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"on_failure": "ignore"}, "on_failure"),
        ({"instruction": "no such benchmark"}, "instruction"),
        ({"instruction": "text with {{ oops }}"}, "query"),
        ({"template": "nowhere"}, "template"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], named: str):
    with pytest.raises(InputError, match=named):
        Reranker("limrank", backend=full_backend(), **options)


def test_mini_has_no_reasoning_to_switch_on():
    with pytest.raises(InputError, match="reasoning"):
        Reranker("mini", backend=full_backend(), reasoning="full")
