"""What was just written is remembered until labels behind it are read: its prompt is not computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.backends.local.kv import KeysAndValues

_SEAM = 4
"""Tokens at a prompt's end that may be others once a text follows on it."""


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A prompt and the text written behind it.

    Attributes:
        prompt: tokens of the prompt.
        ids: all tokens that were computed.
        row: their keys and values.
    """

    prompt: int
    ids: list[int]
    row: KeysAndValues


class WrittenTexts:
    """Holds the texts that were written last; each is given out once.

    Args:
        most: tokens held at most; the oldest texts give way.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._texts: list[WrittenText] = []

    def keep(self, text: WrittenText) -> None:
        """Hold a text."""
        self._texts.append(text)
        self.give_way(self.most)

    def give_way(self, most: int) -> None:
        """Let go of the oldest, until no more than so many tokens are held."""
        held = sum(len(text.ids) for text in self._texts)
        while self._texts and held > most:
            held -= len(self._texts.pop(0).ids)

    def take(self, ids: Sequence[int]) -> KeysAndValues | None:
        """Of the text that these tokens go on from, or repeat a part of: what they have in common.

        At least one token is left. None where there is no such text: a prompt's beginning is not enough.
        """
        best, common = None, 0
        for text in self._texts:
            start = max(0, text.prompt - _SEAM)
            if start and ids[:start] == text.ids[:start]:
                end = min(len(ids) - 1, len(text.ids))
                length = next((i for i in range(start, end) if ids[i] != text.ids[i]), end)
                if length > common:
                    best, common = text, length
        if best is None:
            return None
        self._texts = [text for text in self._texts if text is not best]
        return best.row.row(0, common)
