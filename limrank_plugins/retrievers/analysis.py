r"""From text to terms, the same for documents and queries: folded, words, no stop words, stems.

Of ASCII text the default makes exactly the terms of `bm25s.tokenize` with an English Snowball stemmer, which
the reference figures were measured with. Its pattern drops words of one letter: "C" and "R" find
nothing. `token_pattern=r"(?u)\b\w+\b"` keeps them.

Text of other scripts is found whatever its form (`limrank_plugins.retrievers.folding`): the vowel signs
of Hindi or Tamil belong to their words; what is written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) becomes pairs of neighbouring characters, and documents hold the single ones, too.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.folders import AGAIN
from limrank_plugins.retrievers.folding import VERSION, folded, is_mark, with_letters_for_marks
from limrank_plugins.words import UNSPACED

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
_UNSPACED = re.compile(f"([{UNSPACED}]+)")
_NAMES_CHARACTERS = re.compile(r"\\[uUxN0-9]|[^\x00-\x7f]")


class Analyzer:
    """Turns texts into terms. Safe to use from many threads.

    Args:
        stopwords: a language (`"english"`: 33 words; `"english_plus"`: a longer list; …), the words
            themselves, or None to keep all.
        stemmer: a Snowball algorithm (`"english"`, `"porter"`, `"german"`, …), or None.
        token_pattern: what a word is: a regular expression without groups. One that names characters
            outside ASCII itself is taken as it stands: it decides about vowel signs and about scripts
            without spaces, too.

    Raises:
        InputError: a language, algorithm or pattern that is not known or not valid.
    """

    def __init__(
        self,
        stopwords: str | Iterable[str] | None = "english",
        stemmer: str | None = "english",
        token_pattern: str = TOKEN_PATTERN,
    ) -> None:
        self.stemmer = stemmer
        self.stopwords = frozenset(map(self._folded, _stopwords(stopwords)))
        self.token_pattern = token_pattern
        try:
            pattern = re.compile(token_pattern)
        except re.error as error:
            raise InputError(
                f"token_pattern is not a regular expression ({error}): {token_pattern!r}"
            ) from error
        if pattern.groups:
            raise InputError(f"token_pattern must hold no groups, use (?:…): {token_pattern!r}")
        self._pattern = pattern
        self._as_it_stands = _NAMES_CHARACTERS.search(token_pattern) is not None
        # A stemmer of PyStemmer must not be used by two threads at once.
        self._own = threading.local()
        self._stem(["word"])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_own"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._own = threading.local()

    @property
    def parameters(self) -> dict[str, Any]:
        """What makes this analyzer again, as JSON. The words themselves, should a list change."""
        return {
            "stopwords": sorted(self.stopwords),
            "stemmer": self.stemmer,
            "token_pattern": self.token_pattern,
            "words": VERSION,
        }

    def terms(self, text: str, *, document: bool = False) -> list[str]:
        """The terms of one text, in order, repeated as often as they come.

        Args:
            text: a query, or a passage.
            document: whether it is a passage, which can be found by a single character of a script
                without spaces as well as by two.
        """
        return self._stem([w for w in self._words(text, document) if w not in self.stopwords])

    def index(self, texts: Iterable[str]) -> tuple[list[list[int]], dict[str, int]]:
        """The terms of many texts as numbers, and each term's number, in order of first appearance."""
        number_of_word: dict[str, int] = {}
        vocabulary: dict[str, int] = {}
        numbered: list[list[int]] = []
        for text in texts:
            numbers: list[int] = []
            for word in self._words(text, document=True):
                if word in self.stopwords:
                    continue
                number = number_of_word.get(word)
                if number is None:
                    (stem,) = self._stem([word])
                    number = number_of_word[word] = vocabulary.setdefault(stem, len(vocabulary))
                numbers.append(number)
            numbered.append(numbers)
        return numbered, vocabulary

    def _folded(self, text: str) -> str:
        return folded(text, dotless=self.stemmer == "turkish")

    def _words(self, text: str, document: bool) -> Iterable[str]:
        text = self._folded(text)
        if self._as_it_stands or text.isascii():
            return self._pattern.findall(text)
        words: list[str] = []
        for number, part in enumerate(_UNSPACED.split(text)):
            words += _characters(part, document) if number % 2 else self._spaced(part)
        return words

    def _spaced(self, text: str) -> list[str]:
        return [text[slice(*match.span())] for match in self._pattern.finditer(with_letters_for_marks(text))]

    def _stem(self, words: Sequence[str]) -> list[str]:
        if self.stemmer is None:
            return list(words)
        stemmer = getattr(self._own, "stemmer", None)
        if stemmer is None:
            stemmer = self._own.stemmer = _snowball(self.stemmer)
        stems: list[str] = stemmer.stemWords(words)
        return stems


def check_words(parameters: Mapping[str, Any], where: str) -> None:
    """Refuse a saved index whose words were found in another way than those of queries are now.

    Args:
        parameters: of its manifest.
        where: its folder, for the message.

    Raises:
        InputError: it was.
    """
    if "stopwords" not in parameters:  # Lucene's words, or no analyzer's
        return
    version = parameters.get("words", 1)
    if version != VERSION:
        raise InputError(
            f"the index {where} holds words as version {version!r} of the analysis finds them, but this "
            f"limrank finds the words of queries by version {VERSION}: {AGAIN}"
        )


def _characters(text: str, document: bool) -> list[str]:
    """Pairs of neighbouring characters, each with its marks; of a document also the single ones."""
    characters: list[str] = []
    for character in text:
        if characters and is_mark(character):
            characters[-1] += character
        else:
            characters.append(character)
    pairs = [first + second for first, second in pairwise(characters)]
    return [*characters, *pairs] if document or not pairs else pairs


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
        return words
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
