"""What of a text is written into a report: cut where it is long, a hash where it must not be shown.

A report of a large benchmark cannot hold every text: 1,384 queries with 100 documents and traces are 300 MB.
So there are levels, from everything to little, and a report takes the first that fits its budget and says
which. The documents that matter (high in either list, relevant, failed) keep the most at every level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from limrank_evals.loaders.multiple_choice import hashed
from limrank_evals.reporting.query_outcomes import Move
from limrank_plugins.segments import clean_text

# Documents up to this rank, before or after, matter.
TOP = 10
# Control characters that no text needs and no page can show; tab and line feed stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Level:
    """After how many characters texts are cut.

    Attributes:
        text: of a document that matters.
        trace: of its reasoning; its first two thirds and its end, where the verdict is.
        other: of every other document's text; their reasoning is left out if this is below `text`.
    """

    text: int
    trace: int
    other: int

    @property
    def description(self) -> str:
        """The level as a sentence for the report's reader."""
        if self.other >= self.text:
            return f"Passages are cut after {self.text:,} characters, reasoning after {self.trace:,}."
        rest = f"others after {self.other:,}" if self.other else "others are left out"
        return (
            f"Passages that are relevant, failed or in the first {TOP} before or after are cut after "
            f"{self.text:,} characters, their reasoning after {self.trace:,}; {rest}, and without reasoning."
        )

    def text_of(self, move: Move) -> int:
        """After how many characters a document's text is cut."""
        return self.text if matters(move) else self.other

    def trace_of(self, move: Move) -> int:
        """After how many characters a document's reasoning is cut."""
        return self.trace if self.other >= self.text or matters(move) else 0


LEVELS = (
    Level(4000, 8000, 4000),
    Level(1200, 3000, 160),
    Level(600, 1500, 80),
    Level(400, 900, 0),
    Level(240, 400, 0),
)


@dataclass(frozen=True, slots=True)
class TextPolicy:
    """How the texts of one split are written.

    Attributes:
        hidden: hashes stand for texts.
        level: where texts are cut.
    """

    hidden: bool
    level: Level

    def whole(self, text: str) -> str:
        """A text that is never cut, such as a query."""
        return self._hash(text) if self.hidden else clean(text)

    def passage(self, text: str, move: Move) -> str:
        """A document's text."""
        return self._hash(text) if self.hidden else clean(head(text, self.level.text_of(move)))

    def trace(self, move: Move) -> str:
        """A document's reasoning; empty where there is none, or none is shown."""
        most = self.level.trace_of(move)
        if not move.explanation or not most:
            return ""
        return self._hash(move.explanation) if self.hidden else clean(ends(move.explanation, most))

    def failure(self, reason: str | None) -> str:
        """Why a document was not judged; it may quote a model that quotes the document."""
        return "" if reason is None else self._hash(reason) if self.hidden else clean(head(reason, 400))

    def _hash(self, text: str) -> str:
        return f"sha256:{hashed([text])[:16]}" if text else ""


def matters(move: Move) -> bool:
    """Whether a document is one that a reader looks for: relevant, failed, or high in either list."""
    high = any(rank is not None and rank <= TOP for rank in (move.before, move.after))
    return high or move.relevant or move.failure is not None


def clean(text: str) -> str:
    """Text for any file: lone surrogates and control characters become U+FFFD."""
    return _CONTROLS.sub("\ufffd", clean_text(text.replace("\r\n", "\n")))


def head(text: str, most: int) -> str:
    """The first characters of a text, with how many are missing; empty where none are shown."""
    if len(text) <= most:
        return text
    return f"{text[:most].rstrip()} … [{len(text) - most:,} more characters]" if most else ""


def ends(text: str, most: int) -> str:
    """The beginning and the end of a text, with how many characters are missing between."""
    if len(text) <= most:
        return text
    first = 2 * most // 3
    rest = text[len(text) - (most - first) :]
    return f"{text[:first].rstrip()}\n\n… [{len(text) - most:,} characters left out] …\n\n{rest.lstrip()}"
