r"""From text to terms, the same for documents and queries: lower case, words, no stop words, stems.

The default makes exactly the terms of `bm25s.tokenize` with an English Snowball stemmer, which the
reference figures were measured with. Its pattern drops words of one letter: "C" and "R" find
nothing. `token_pattern=r"(?u)\b\w+\b"` keeps them.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from limrank_plugins.errors import InputError

TOKEN_PATTERN = r"(?u)\b\w\w+\b"
_LANGUAGES = {
    "english": "EN",
    "english_plus": "EN_PLUS",
    "german": "GERMAN",
    "dutch": "DUTCH",
    "french": "FRENCH",
    "spanish": "SPANISH",
    "portuguese": "PORTUGUESE",
    "italian": "ITALIAN",
    "russian": "RUSSIAN",
    "swedish": "SWEDISH",
    "norwegian": "NORWEGIAN",
    "danish": "DANISH",
    "turkish": "TURKISH",
    "chinese": "CHINESE",
    "korean": "KOREAN",
}


class Analyzer:
    """Turns texts into terms. Safe to use from many threads.

    Args:
        stopwords: a language (`"english"`: 33 words; `"english_plus"`: a longer list; …), the words
            themselves, or None to keep all.
        stemmer: a Snowball algorithm (`"english"`, `"porter"`, `"german"`, …), or None.
        token_pattern: what a word is: a regular expression without groups.

    Raises:
        InputError: a language, algorithm or pattern that is not known or not valid.
    """

    def __init__(
        self,
        stopwords: str | Iterable[str] | None = "english",
        stemmer: str | None = "english",
        token_pattern: str = TOKEN_PATTERN,
    ) -> None:
        self.stopwords = frozenset(_stopwords(stopwords))
        self.stemmer = stemmer
        self.token_pattern = token_pattern
        try:
            pattern = re.compile(token_pattern)
        except re.error as error:
            raise InputError(
                f"token_pattern is not a regular expression ({error}): {token_pattern!r}"
            ) from error
        if pattern.groups:
            raise InputError(f"token_pattern must hold no groups, use (?:…): {token_pattern!r}")
        self._words = pattern.findall
        # A stemmer of PyStemmer must not be used by two threads at once.
        self._own = threading.local()
        self._stem(["word"])

    @property
    def parameters(self) -> dict[str, Any]:
        """What makes this analyzer again, as JSON. The words themselves, should a list change."""
        return {
            "stopwords": sorted(self.stopwords),
            "stemmer": self.stemmer,
            "token_pattern": self.token_pattern,
        }

    def terms(self, text: str) -> list[str]:
        """The terms of one text, in order, repeated as often as they come."""
        return self._stem([w for w in self._words(text.lower()) if w not in self.stopwords])

    def index(self, texts: Iterable[str]) -> tuple[list[list[int]], dict[str, int]]:
        """The terms of many texts as numbers, and each term's number, in order of first appearance."""
        number_of_word: dict[str, int] = {}
        vocabulary: dict[str, int] = {}
        numbered: list[list[int]] = []
        for text in texts:
            numbers: list[int] = []
            for word in self._words(text.lower()):
                if word in self.stopwords:
                    continue
                number = number_of_word.get(word)
                if number is None:
                    (stem,) = self._stem([word])
                    number = number_of_word[word] = vocabulary.setdefault(stem, len(vocabulary))
                numbers.append(number)
            numbered.append(numbers)
        return numbered, vocabulary

    def _stem(self, words: Sequence[str]) -> list[str]:
        if self.stemmer is None:
            return list(words)
        stemmer = getattr(self._own, "stemmer", None)
        if stemmer is None:
            stemmer = self._own.stemmer = _snowball(self.stemmer)
        stems: list[str] = stemmer.stemWords(words)
        return stems


def _snowball(algorithm: str) -> Any:
    import Stemmer

    try:
        return Stemmer.Stemmer(algorithm)
    except KeyError as error:
        known = ", ".join(Stemmer.algorithms())
        raise InputError(f"there is no stemmer {algorithm!r}; there are: {known}, or None") from error


def _stopwords(chosen: str | Iterable[str] | None) -> Iterable[str]:
    if chosen is None:
        return ()
    if not isinstance(chosen, str):
        words = list(chosen)
        if not all(isinstance(word, str) for word in words):
            raise InputError(f"stopwords must be a language or a list of words, but got {words!r}")
        return [word.lower() for word in words]
    if chosen not in _LANGUAGES:
        known = ", ".join(_LANGUAGES)
        raise InputError(f"there are no stop words for {chosen!r}; give the words, None, or one of: {known}")
    words_of: Iterable[str] = getattr(library().stopwords, f"STOPWORDS_{_LANGUAGES[chosen]}")
    return words_of


def library() -> Any:
    """The module bm25s. Importing it sets its logger to DEBUG, so the level is put back."""
    fresh = "bm25s" not in sys.modules
    logger = logging.getLogger("bm25s")
    level = logger.level
    import bm25s
    import bm25s.stopwords

    if fresh:
        logger.setLevel(level)
    return bm25s
