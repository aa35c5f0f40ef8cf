"""A prompt with pictures as a local model gets it; training asks in the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.chat import as_completion
from limrank_plugins.backends.local.fitting import Encoded, Span, fit
from limrank_plugins.backends.local.processing import Pictures, Seen
from limrank_plugins.backends.local.tokens import PromptEncoder
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.segments import Prompt


@dataclass(frozen=True)
class Shown:
    """A prompt as the model gets it: tokens, what goes along with each, the pictures; what was cut."""

    ids: list[int]
    marks: dict[str, list[int]]
    tensors: dict[str, Any]
    cut: int
    end: str


def show(prompt: Prompt, processor: Any, pictures: Pictures, encoder: PromptEncoder, limit: int) -> Shown:
    """The prompt's tokens, those of its pictures among them; texts of documents are cut, pictures never.

    Args:
        prompt: with pictures or without.
        processor: of the model; its chat template is used.
        pictures: what that processor does to pictures.
        encoder: of its tokenizer.
        limit: most tokens.

    Raises:
        InputError: the prompt is empty, or does not fit.
        BackendError: the placeholders in the prompt are not those of its pictures.
    """
    seen = pictures.seen(prompt.images)
    text = as_completion(prompt, processor, pictures.placeholder)
    encoded = encoder.encode_completion(text, with_prefix=not prompt.is_chat)
    if not encoded.ids:
        raise InputError("the prompt is empty: give at least one word")
    if encoded.ids.count(pictures.token) != len(seen.ids):
        raise BackendError(
            f"the prompt came to hold {encoded.ids.count(pictures.token)} placeholders for "
            f"{len(seen.ids)} pictures"
        )
    size = sum(map(len, seen.ids))
    if size > limit:
        raise InputError(
            f"the prompt's {len(seen.ids)} pictures alone take {size} tokens, but there is room for "
            f"{limit}: show fewer at a time, or smaller ones (max_pixels), or raise max_length"
        )
    ids, marks, whole = _filled(encoded, pictures.token, seen)
    # What stays is found out by position, so that everything that goes along with a token stays with it.
    kept, cut = fit(whole, limit)
    return Shown(
        [ids[i] for i in kept],
        {name: [row[i] for i in kept] for name, row in marks.items()},
        seen.tensors,
        cut,
        encoded.end,
    )


def spoken(labels: Sequence[str], prompt: Prompt, end: str) -> tuple[str, ...]:
    """The labels as the model would write them behind the prompt.

    Args:
        labels: the template's.
        prompt: what is asked.
        end: the last characters of the prompt as text.
    """
    answers = any(s.text and s.role == "assistant" for s in prompt.segments)
    if prompt.is_chat and not answers and end and not end[-1].isspace() and end[-1] != ">":
        # "ASSISTANT:" is followed by " Yes" in LLaVA's training; "Yes" would be another token.
        return tuple(label if label[:1].isspace() else f" {label}" for label in labels)
    return tuple(labels)


def _filled(encoded: Encoded, token: int, seen: Seen) -> tuple[list[int], dict[str, list[int]], Encoded]:
    """The prompt's tokens with those of the pictures in place of the placeholders.

    Returns:
        The tokens; what goes along with each of them (0 for text); and the same prompt, whose "tokens"
        are their positions.
    """
    ids: list[int] = []
    marks: dict[str, list[int]] = {name: [] for name in seen.marks}
    offsets: list[Span] = []
    places = [0]  # where each token of the text, and its end, has gone
    picture = 0
    for number, offset in zip(encoded.ids, encoded.offsets, strict=True):
        several = seen.ids[picture] if number == token else [number]
        for name, row in marks.items():
            row += seen.marks[name][picture] if number == token else [0]
        picture += number == token
        ids += several
        offsets += [offset] * len(several)
        places.append(len(ids))
    cuttable = [(places[start], places[stop]) for start, stop in encoded.cuttable]
    return ids, marks, Encoded(list(range(len(ids))), offsets, cuttable, encoded.end)
