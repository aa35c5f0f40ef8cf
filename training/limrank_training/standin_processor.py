"""A processor made on the spot, for looking at a plan for images where the real one is not at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from limrank_plugins.errors import require

PLACE = "<|image|>"
_SIDE = 28  # pixels of a token's side in Qwen2-VL and Qwen2.5-VL: two patches of 14
_LEAST, _MOST = 4 * _SIDE**2, 16384 * _SIDE**2
_LLAVA = (336 // 14) ** 2  # every image is brought to 336 x 336 pixels


def image_tokens(base: str, width: int, height: int) -> int:
    """How many tokens an image takes: a fixed number in LLaVA 1.5, else as in Qwen2-VL, by its size.

    Args:
        base: the plan's; its name says which of the two it is.
        width: in pixels.
        height: in pixels.
    """
    if "llava" in base.lower():
        return _LLAVA
    across, down = (round(side / _SIDE) for side in (width, height))
    if across * down * _SIDE**2 > _MOST:
        scale = math.sqrt(width * height / _MOST)
        across, down = (max(1, math.floor(side / scale / _SIDE)) for side in (width, height))
    elif across * down * _SIDE**2 < _LEAST:
        scale = math.sqrt(_LEAST / (width * height))
        across, down = (math.ceil(side * scale / _SIDE) for side in (width, height))
    return across * down


class StandinProcessor:
    """What `transformers` calls a processor, of a stand-in tokenizer: images become tokens, but no pixels.

    Args:
        tokenizer: whose chat template writes `PLACE` for an image; it gets that token.
        base: the plan's.
    """

    image_token = PLACE

    def __init__(self, tokenizer: Any, base: str) -> None:
        self.tokenizer, self._base = tokenizer, base
        tokenizer.add_special_tokens({"additional_special_tokens": [PLACE]})
        self.chat_template = tokenizer.chat_template

    def __call__(
        self, text: Sequence[str], images: Sequence[Any] = (), return_tensors: str | None = None
    ) -> dict[str, Any]:
        """The tokens of a text, each of its placeholders repeated as often as its image takes tokens."""
        left = iter(images)
        first, *rest = text[0].split(PLACE)
        for piece in rest:
            image = next(left, None)  # none is left for a placeholder that somebody wrote
            first += PLACE * (1 if image is None else image_tokens(self._base, *image.size)) + piece
        ids = [self.tokenizer(first, add_special_tokens=False)["input_ids"]]
        if return_tensors is None:
            return {"input_ids": ids}
        return {"input_ids": require("torch", "training", "a stand-in processor").tensor(ids)}

    def apply_chat_template(
        self, messages: Any, tokenize: bool = False, return_dict: bool = False, **named: Any
    ) -> Any:
        """A chat's text; or, of a list of chats, the first one's tokens."""
        if not tokenize:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, **named)
        text = self.tokenizer.apply_chat_template(messages[0], tokenize=False, **named)
        parts = [part for message in messages[0] for part in message["content"]]
        return self([text], [part["image"] for part in parts if part["type"] == "image"])
