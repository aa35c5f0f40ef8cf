"""Long documents in pieces: what `chunks=` and `passages=` say, and where a text is split.

For `chunks` the library semantic-text-splitter ends pieces where a paragraph, else a sentence, else a word
ends (Unicode UAX #29, so in any language), as late as they fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, cast, get_args

from limrank_plugins.errors import InputError, require
from limrank_plugins.words import words_of

How = Literal["max", "first", "mean-top-2"]
WHOLE = "whole"
# A line end within a paragraph: no blank line, no item of a list and nothing indented follows.
_LINE_END = re.compile(r"(?<!\n)\n(?![\s#|*+>•-]|[0-9]+[.)])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = 20
"""Characters that a part of a text may grow by to end with a word; not all scripts have spaces."""


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
    match = re.fullmatch(pattern, text) if isinstance(text, str) else None
    if match is None:
        raise InputError(
            f"chunks must be 'max', 'first' or 'mean-top-2', perhaps with a length as in 'max:300 words', "
            f"but got {text!r}"
        )
    return PieceRule(cast(How, match[1]), int(match[2]) if match[2] else None)


@dataclass(frozen=True, slots=True)
class PassageRule:
    """How the long texts of a corpus are split into passages that are documents of their own.

    Attributes:
        words: the most words of a passage (`limrank_plugins.words`); None: texts stay whole.
        overlap: the most words at its beginning that end the one before, too, in whole sentences.
    """

    words: int | None
    overlap: int = 0

    def __str__(self) -> str:
        if self.words is None:
            return WHOLE
        return f"{self.words} words" + (f", overlap {self.overlap}" if self.overlap else "")


def passage_rule(text: object) -> PassageRule:
    """The rule written as `"300 words"`, with an overlap as `"300 words, overlap 50"`, or as `"whole"`.

    Raises:
        InputError: it is no rule, or the overlap is not below the half of a passage.
    """
    pattern = r"([1-9][0-9]{0,6})[ -]?words?(?:, *overlap ([0-9]{1,7}))?"
    match = re.fullmatch(pattern, text) if isinstance(text, str) else None
    if text != WHOLE and match is None:
        raise InputError(
            f"passages must be a length such as '300 words', perhaps with an overlap as in "
            f"'300 words, overlap 50', or 'whole', but got {text!r}"
        )
    if match is None:
        return PassageRule(None)
    rule = PassageRule(int(match[1]), int(match[2] or 0))
    if 2 * rule.overlap > int(match[1]):
        raise InputError(
            f"passages={text!r}: the overlap may be half a passage at most, {int(match[1]) // 2} words"
        )
    return rule


def has_splitter() -> bool:
    """Whether what splits texts is installed."""
    return find_spec("semantic_text_splitter") is not None


def check_splitter() -> None:
    """Raise a `MissingExtra` where what splits texts is not installed."""
    require("semantic_text_splitter", "chunks", "chunks=…")


def passages(text: str, rule: PassageRule) -> list[tuple[int, int]]:
    """Starts and ends of the passages of a text, white space around them left out.

    Args:
        text: whole; where it is short enough, it is one passage.
        rule: how long they may be.

    Raises:
        MissingExtra: semantic-text-splitter is not installed.
    """
    if rule.words is None or words_of(text) <= rule.words:
        return [(0, len(text))]
    library = require("semantic_text_splitter", "chunks", "splitting long texts into passages")
    splitter = library.TextSplitter.from_callback(words_of, rule.words, overlap=rule.overlap, trim=True)
    # Lines of some width end anywhere in a sentence, where nothing is to be split.
    spans = splitter.chunk_indices(_LINE_END.sub(" ", _SURROGATE.sub("\ufffd", text)))
    return [(start, start + len(passage)) for start, passage in spans]


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


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The same part of a text with the words at its start and end whole, as far as they are short."""
    least, most = max(0, start - _WORD), min(len(text), end + _WORD)
    while least < start < len(text) and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while 0 < end < most and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return start, end


def _fitting(text: str, start: int, end: int, fits: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """The piece; the library may leave one character that is too long together with those behind it."""
    while end - start > 1 and not fits(text[start:end]):
        yield start, start + 1
        start += 1
    yield start, end
