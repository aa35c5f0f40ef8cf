"""Texts as words are compared: one normal form, one case, no signs that a reader does without.

ASCII text is put into lower case and nothing else. Of any other text, canonically equal, full width and
ligature forms become one (NFKC), case is folded (ß is ss, İ and ı are i), soft hyphens and other marks
of typesetting are left out, Arabic vowel marks and Hebrew points too, and digits of any script are 0 to 9.
"""

from __future__ import annotations

import re
import unicodedata

VERSION = 2
"""What an index was made with; 1: lower case alone, words that end at every vowel sign."""

# Trade marks are no letters of the word before them, though NFKC writes them as such.
_SPACED = frozenset({0x2122, 0x2120})
_IGNORED = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),
    (0x0591, 0x05BD),  # Hebrew accents and points
    (0x05BF, 0x05BF),
    (0x05C1, 0x05C2),
    (0x05C4, 0x05C5),
    (0x05C7, 0x05C7),
    (0x0610, 0x061A),  # Arabic signs
    (0x061C, 0x061C),
    (0x0640, 0x0640),  # the stroke that stretches a word
    (0x064B, 0x0652),  # Arabic vowel marks
    (0x0656, 0x065F),
    (0x0670, 0x0670),
    (0x06D6, 0x06DC),
    (0x06DF, 0x06E4),
    (0x06E7, 0x06E8),
    (0x06EA, 0x06ED),
    (0x08CA, 0x08E1),
    (0x08E3, 0x08FF),
    (0x180B, 0x180F),
    (0x200D, 0x200F),  # joiner, direction marks; a space without width (200B) does divide words
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0xFE00, 0xFE0F),  # variants of a character
    (0xFEFF, 0xFEFF),
    (0xE0000, 0xE01EF),
)
# Between Arabic letters a non-joiner divides what Persian also writes apart; elsewhere it is typesetting.
_NON_JOINER = re.compile("(?<![\u0600-\u06ff\u0750-\u077f])\u200c")
_MARKS = frozenset({"Mn", "Mc"})
# A letter of a script nobody reads any more (Linear A) stands for a mark where words are looked for.
_STAND_IN = "\U00010600"
_WORD = re.compile(r"[^\W_]+")
_LONE = re.compile(rf"(?<!\w){_STAND_IN}+")


class _Table(dict[int, int | str | None]):
    """For `str.translate`, filled as characters come."""

    def __missing__(self, code: int) -> int | str | None:
        self[code] = kept = self.entry(code)
        return kept

    def entry(self, code: int) -> int | str | None:
        """What stands for a character; None: nothing."""
        raise NotImplementedError


class _Kept(_Table):
    def entry(self, code: int) -> int | str | None:
        if code < 0x80:
            return code
        if any(first <= code <= last for first, last in _IGNORED):
            return None
        if code in _SPACED:
            return " "
        digit = unicodedata.decimal(chr(code), None)
        return code if digit is None else str(digit)


class _Marks(_Table):
    def entry(self, code: int) -> int | str | None:
        return _STAND_IN if is_mark(chr(code)) else code


_kept = _Kept()
_marks = _Marks()


def is_mark(character: str) -> bool:
    """Whether a character belongs to the letter before it: a vowel sign, an accent."""
    return unicodedata.category(character) in _MARKS


def folded(text: str, *, dotless: bool = False) -> str:
    """The text as words are compared.

    Args:
        text: any.
        dotless: whether ı stays another letter than i, as a Turkish stemmer needs it.
    """
    if text.isascii():
        return text.lower()
    text = _NON_JOINER.sub("", text).translate(_kept)
    text = unicodedata.normalize("NFKC", text).casefold()
    text = unicodedata.normalize("NFKC", text).translate(_kept).replace("i\u0307", "i")
    return text if dotless else text.replace("ı", "i")


def with_letters_for_marks(text: str) -> str:
    r"""A text as long as this one in which `\w` also matches the marks of letters."""
    return _LONE.sub(lambda lone: " " * len(lone[0]), text.translate(_marks))


def folded_words(text: str) -> list[str]:
    """The words of a text as they are compared: letters with their marks, and digits."""
    text = folded(text)
    if text.isascii():
        return _WORD.findall(text)
    return [text[slice(*word.span())] for word in _WORD.finditer(with_letters_for_marks(text))]
