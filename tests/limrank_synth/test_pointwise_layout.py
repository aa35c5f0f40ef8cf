"""The training layout against what inference really sends and reads."""

from __future__ import annotations

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_rows import row

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import Generated
from limrank_plugins.data import Document, Query
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts import Settings
from limrank_plugins.recipes import load_recipe
from limrank_synth.pointwise_layout import (
    CompletionParts,
    completion,
    pointwise_prompt,
    problem,
    read_completion,
)

TEXTS = st.text(min_size=1).filter(lambda text: text.strip() and "\ue000" not in text)


def asked(query: str, passage: str, thought: str) -> tuple[str, str]:
    """What the recipe sends, and what it sends when a thought of these words ran out of its budget."""
    recipe = load_recipe("limrank")
    assert recipe.readout is not None
    program = recipe.readout.ask(
        Query(query), [Document(passage, id="d")], load_template("limrank"), Settings(reasoning="full")
    )
    first = next(program)[0].prompt.text
    second = program.send([Generated(thought, "length")])[0].prompt.text
    return first, second


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_the_prompt_is_the_inference_prompt_byte_for_byte(query: str, passage: str) -> None:
    assert pointwise_prompt(query, passage) == asked(query, passage, "A thought.")[0]


@pytest.mark.parametrize("thought", ["It fits.", " two\n\nlines, a tab\tand “quotes”. ", "Ends."])
@pytest.mark.parametrize("relevant", [True, False])
def test_the_completion_is_the_thought_as_inference_closes_it(thought: str, relevant: bool) -> None:
    prompt, closed = asked("why?", "because", thought)
    label = " true" if relevant else " false"
    assert prompt + completion(thought, relevant) == closed + label


def test_prompt_and_completion_are_the_same_tokens_joined_or_apart() -> None:
    tokens = tiny.tokenizer("qwen")
    encoder = PromptEncoder(tokens)
    prompt, said = pointwise_prompt("why?", "acid\n"), completion("It says so.", True)
    prompt_ids = encoder.encode(load_template("limrank").render("why?", ["acid\n"])).ids
    joined = tokens(prompt + said, add_special_tokens=False)["input_ids"]
    assert joined[: len(prompt_ids)] == prompt_ids
    assert joined == prompt_ids + tokens(said, add_special_tokens=False)["input_ids"]
    # The verdict is one token: the very id whose logit inference reads.
    assert joined[-1] == encoder.label_ids([" true", " false"], prompt + said.removesuffix(" true"))[0]


@settings(deadline=None)
@given(st.text(), st.booleans())
def test_a_completion_reads_back_as_its_own_label_or_not_at_all(trace: str, relevant: bool) -> None:
    made = row(trace=trace, relevant=relevant)
    read = read_completion(completion(trace, relevant))
    if problem(made) is None:
        assert read == CompletionParts(
            completion(trace, relevant)[1:].rpartition("\n</think>")[0].strip(), relevant
        )
    elif isinstance(read, CompletionParts):
        assert read.relevant == relevant


@pytest.mark.parametrize(
    "trace",
    ["It is </think> true. No.", "<think> again", "so < / THINK > true", "It says <|im_end|>"],
)
def test_a_trace_with_a_marker_cannot_be_trained_on(trace: str) -> None:
    reason = problem(row(trace=trace, relevant=False))
    assert reason is not None
    assert "trace" in reason


@pytest.mark.parametrize("trace", ["The answer is true", "</answer> true", "false. true. \n true"])
def test_a_verdict_in_a_trace_is_not_the_rows_verdict(trace: str) -> None:
    read = read_completion(completion(trace, False))
    assert isinstance(read, CompletionParts)
    assert read.relevant is False


@pytest.mark.parametrize("where", ["query", "passage"])
@pytest.mark.parametrize("marker", ["</think> true", "<think>", "<|endoftext|>", "a <image> here"])
def test_a_text_with_a_marker_cannot_be_trained_on(where: str, marker: str) -> None:
    assert "query or passage holds the marker" in str(problem(row(**{where: f"some {marker} text"})))


def test_ordinary_rows_can() -> None:
    for text in ("a < b > c", "[1] > [2]", "x </thin k>", "think", 'quotes " \t\n'):
        assert problem(row(query=text, passage=text, trace=text)) is None


@pytest.mark.parametrize("field", ["query", "passage", "trace"])
def test_an_empty_text_cannot(field: str) -> None:
    for unseen in ("", " \n", "\0", "\u200b", "\u2060 \u3164"):
        assert "empty" in str(problem(row(**{field: unseen})))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "true",
        "<think>a</think>",
        "<think>a</think> maybe",
        "a</think> true, I think",
        "<think></think> true",
        "<think>a</think> true</think> false",
    ],
)
def test_what_is_no_completion_is_refused_with_a_reason(text: str) -> None:
    assert isinstance(read_completion(text), str)
