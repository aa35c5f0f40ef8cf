"""What a word is where words are counted: in `"300 words"` of a passage, and in `chunks="max:300 words"`.

A run of characters between white space is one. Of scripts that are written without spaces (Chinese, Japanese,
Thai, Lao, Khmer, Burmese, Tibetan, …) every character is one, with the marks and the punctuation behind it.
"""

from __future__ import annotations

import re

UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e"  # Thai
    "\u0e81-\u0ecf\u0edc-\u0edf"  # Lao
    "\u1000-\u103f\u1050-\u109f\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"  # Burmese and its neighbours
    "\u1780-\u17d3\u17dc-\u17dd"  # Khmer
    "\u1950-\u19cf\u1a20-\u1a7f"  # Tai
    "\u3005-\u3007\u303b-\u303c\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af"
)
"""Characters of scripts without spaces between words, marks included, digits not: a range in a pattern."""

# Katakana of half width (which an index folds), Tibetan, Balinese and Javanese.
_UNSPACED = UNSPACED + "\uff66-\uff9f\u0f40-\u0fbc\u1b00-\u1b4b\ua980-\ua9c0"
_WORD = re.compile(rf"[{_UNSPACED}][^\w\s]*|[^\s{_UNSPACED}]+")


def word_ends(text: str) -> list[int]:
    """Where each word of a text ends."""
    return [word.end() for word in _WORD.finditer(text)]


def words_of(text: str) -> int:
    """How many words a text has."""
    return len(_WORD.findall(text))
