"""Citations such as [2] or [1, 3]: kept out of what others wrote, read from what the reader wrote.

The pattern that rewrites is the one that reads: what a passage or a question holds can never be taken
for a citation, because it is in round brackets before the model sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from limrank_plugins.readouts.labels import without_tags

# Digits and repetitions are bounded, as in `readouts.labels`; [1, 2], [1; 2], [1-3] and [1 and 2] are read.
_JOINED = r"\s{0,3}(?:[,;&–-]|,?\s{0,3}and\s)\s{0,3}"
CITED = re.compile(rf"\[\s{{0,3}}([0-9]{{1,6}}(?:{_JOINED}[0-9]{{1,6}}){{0,30}})\s{{0,3}}\]")
"""One pair of square brackets with numbers of passages in it."""

_NUMBER = re.compile(r"([0-9]{1,6})(?:\s{0,3}[–-]\s{0,3}([0-9]{1,6}))?")
_SPACE_BEFORE = re.compile(r"[ \t]+(?=\x00)|\x00")


class CitedText(NamedTuple):
    """What a text cites.

    Attributes:
        text: the text with every citation written as [n], one after the other; those of passages that
            are not there are left out.
        numbers: the passages cited, from 1, each once, in the order of the text.
        strangers: how many numbers named no passage.
    """

    text: str
    numbers: tuple[int, ...]
    strangers: int


def neutral(text: str) -> str:
    """The text without anything that reads as a citation or as a tag: round brackets instead."""
    return without_tags(CITED.sub(r"(\1)", text))


def read_citations(text: str, size: int) -> CitedText:
    """Read the citations of an answer from `size` passages. Any text gives a valid result."""
    cited: dict[int, None] = {}
    strangers = 0

    def rewritten(match: re.Match[str]) -> str:
        nonlocal strangers
        named = list(dict.fromkeys(_named(match[1], size)))
        valid = [number for number in named if 1 <= number <= size]
        strangers += len(named) - len(valid)
        cited.update(dict.fromkeys(valid))
        return "".join(f"[{number}]" for number in valid) or "\x00"

    marked = CITED.sub(rewritten, text.replace("\x00", "\ufffd"))
    return CitedText(_SPACE_BEFORE.sub("", marked), tuple(cited), strangers)


def _named(inside: str, size: int) -> Iterator[int]:
    for first, last in _NUMBER.findall(inside):
        low, high = int(first), int(last or first)
        if low > high:  # "[3-1]" is no range; both are named
            yield from (low, high)
            continue
        # A range beyond the passages names one stranger, not a million.
        yield from range(low, min(high, size) + 1)
        if high > size:
            yield high
