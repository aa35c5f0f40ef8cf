"""Pieces of Markdown for the card, safe for texts that nobody has looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from limrank_plugins.segments import CONTROLS

NOT_GIVEN = "(not given)"


def counted(what: str, counts: Mapping[str, int]) -> str:
    """A table of counts, the largest first."""
    ranked = Counter(counts).most_common()
    return table_of((what, "number"), [(cell(name) or NOT_GIVEN, f"{number:,}") for name, number in ranked])


def table_of(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table; its cells are taken as they are, see `cell`."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cell(text: str) -> str:
    """A text that can be no markup of the card."""
    flat = plain(text)
    for mark in "\\`*_[]<>|":
        flat = flat.replace(mark, f"\\{mark}")
    return flat


def plain(text: str) -> str:
    """A text on one line, without control characters."""
    return CONTROLS.sub("·", " ".join(text.split()))
