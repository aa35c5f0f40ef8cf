"""A prompt with images as a local model gets it; training asks in the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.chat import as_completion
from limrank_plugins.backends.local.image_tokens import ImageTokenizer, ImageTokens
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import EncodedPrompt, Span, fit
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.images import ImageError
from limrank_plugins.segments import Prompt


@dataclass(frozen=True)
class ImagePrompt:
    """A prompt as the model gets it: tokens, what goes along with each, the images; what was cut."""

    ids: list[int]
    marks: dict[str, list[int]]
    tensors: dict[str, Any]
    cut: int
    end: str


def encode_image_prompt(
    prompt: Prompt, processor: Any, image_tokenizer: ImageTokenizer, encoder: PromptEncoder, limit: int
) -> ImagePrompt:
    """The prompt's tokens, those of its images among them; texts of documents are cut, images never.

    Args:
        prompt: with images or without.
        processor: of the model; its chat template is used.
        image_tokenizer: what that processor does to images.
        encoder: of its tokenizer.
        limit: most tokens.

    Raises:
        InputError: the prompt is empty, or does not fit.
        BackendError: the placeholders in the prompt are not those of its images.
    """
    images = image_tokenizer.tokenize(prompt.images)
    text = as_completion(prompt, processor, image_tokenizer.placeholder)
    encoded = encoder.encode_completion(text, with_prefix=not prompt.is_chat)
    if not encoded.ids:
        raise InputError("the prompt is empty: give at least one word")
    if encoded.ids.count(image_tokenizer.token) != len(images.ids):
        raise BackendError(
            f"the prompt came to hold {encoded.ids.count(image_tokenizer.token)} placeholders for "
            f"{len(images.ids)} images"
        )
    size = sum(map(len, images.ids))
    if size > limit:
        raise ImageError(
            f"the prompt's {len(images.ids)} images alone take {size} tokens, but there is room for "
            f"{limit}: show fewer at a time, or smaller ones (max_pixels), or raise max_length"
        )
    ids, marks, whole = _with_images(encoded, image_tokenizer.token, images)
    # What stays is found out by position, so that everything that goes along with a token stays with it.
    kept, cut = fit(whole, limit)
    return ImagePrompt(
        [ids[i] for i in kept],
        {name: [row[i] for i in kept] for name, row in marks.items()},
        images.tensors,
        cut,
        encoded.end,
    )


def spoken_labels(labels: Sequence[str], prompt: Prompt, end: str) -> tuple[str, ...]:
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


def _with_images(
    encoded: EncodedPrompt, token: int, images: ImageTokens
) -> tuple[list[int], dict[str, list[int]], EncodedPrompt]:
    """The prompt's tokens with those of the images in place of the placeholders.

    Returns:
        The tokens; what goes along with each of them (0 for text); and the same prompt, whose "tokens"
        are their positions.
    """
    ids: list[int] = []
    marks: dict[str, list[int]] = {name: [] for name in images.marks}
    offsets: list[Span] = []
    places = [0]  # where each token of the text, and its end, has gone
    image = 0
    for number, offset in zip(encoded.ids, encoded.offsets, strict=True):
        several = images.ids[image] if number == token else [number]
        for name, row in marks.items():
            row += images.marks[name][image] if number == token else [0]
        image += number == token
        ids += several
        offsets += [offset] * len(several)
        places.append(len(ids))
    cuttable = [(places[start], places[stop]) for start, stop in encoded.cuttable]
    return ids, marks, EncodedPrompt(list(range(len(ids))), offsets, cuttable, encoded.end, most=encoded.most)
