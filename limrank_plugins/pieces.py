"""Long documents in pieces: what `chunks=` says, and where a text is split.

The library semantic-text-splitter ends pieces where a paragraph, else a sentence, else a word ends (Unicode
UAX #29, so in any language), as late as they fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from limrank_plugins.errors import InputError, require

How = Literal["max", "first", "mean-top-2"]
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PieceRule:
    """How a long document is judged.

    Attributes:
        how: the score is that of the best piece (`"max"`), of the first one, which alone is asked about
            (`"first"`), or the mean of the best two (`"mean-top-2"`).
        words: the most words of a piece (`limrank_plugins.words`); None: as many as the model reads.
    """

    how: How
    words: int | None = None


def piece_rule(text: object) -> PieceRule:
    """The rule written as `"max"`, or with a length as `"max:300 words"`.

    Raises:
        InputError: it is no rule.
    """
    pattern = rf"({'|'.join(get_args(How))})(?::([1-9][0-9]{{0,6}})[ -]?words)?"
    found = re.fullmatch(pattern, text) if isinstance(text, str) else None
    if found is None:
        raise InputError(
            f"chunks must be 'max', 'first' or 'mean-top-2', perhaps with a length as in 'max:300 words', "
            f"but got {text!r}"
        )
    return PieceRule(cast(How, found[1]), int(found[2]) if found[2] else None)


def check_splitter() -> None:
    """Raise a `MissingExtra` where what splits texts is not installed."""
    require("semantic_text_splitter", "chunks", "chunks=…")


def split(text: str, fits: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Starts and ends of the pieces, which follow on one another and are the whole text.

    Args:
        text: whole; where it fits, it is one piece.
        fits: whether a piece does. A single character that does not is a piece all the same.

    Raises:
        MissingExtra: semantic-text-splitter is not installed.
    """
    if fits(text):
        return [(0, len(text))]
    library = require("semantic_text_splitter", "chunks", "chunks=…")
    splitter = library.TextSplitter.from_callback(lambda piece: 0 if fits(piece) else 2, 1, trim=False)
    # It reads no lone surrogates; one character stands for each, so that places stay what they are.
    pieces = splitter.chunk_indices(_SURROGATE.sub("\ufffd", text))
    return [span for start, piece in pieces for span in _fitting(text, start, start + len(piece), fits)]


def _fitting(text: str, start: int, end: int, fits: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """The piece; the library may leave one character that is too long together with those behind it."""
    while end - start > 1 and not fits(text[start:end]):
        yield start, start + 1
        start += 1
    yield start, end
