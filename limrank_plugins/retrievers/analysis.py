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
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.folders import AGAIN
from limrank_plugins.retrievers import languages
from limrank_plugins.retrievers.folding import VERSION, folded, is_mark, with_letters_for_marks
from limrank_plugins.words import UNSPACED

TOKEN_PATTERN = r"(?u)\b\w\w+\b"
LANGUAGES_OWN = "language"
"""What `stopwords` and `stemmer` are where nothing else is said: those of the language."""
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
        stopwords: `"language"` for those of the language, another one's (`"english"`: 33 words;
            `"english_plus"`: a longer list; …), the words themselves, or None to keep all.
        stemmer: `"language"`, a Snowball algorithm (`"english"`, `"porter"`, `"german"`, …), or None.
        token_pattern: what a word is: a regular expression without groups. One that names characters
            outside ASCII itself is taken as it stands: it decides about vowel signs and about scripts
            without spaces, too.
        language: decides about stop words and stemmer; a name or a two-letter code.

    Raises:
        InputError: a language, algorithm or pattern that is not known or not valid.
    """

    def __init__(
        self,
        stopwords: str | Iterable[str] | None = LANGUAGES_OWN,
        stemmer: str | None = LANGUAGES_OWN,
        token_pattern: str = TOKEN_PATTERN,
        *,
        language: str = languages.DEFAULT,
    ) -> None:
        self.language = languages.language_named(language)
        if stopwords == LANGUAGES_OWN:
            stopwords = languages.stopwords_of(self.language)
        self.stemmer = languages.stemmer_of(self.language) if stemmer == LANGUAGES_OWN else stemmer
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

    @classmethod
    def saved(cls, parameters: Mapping[str, Any]) -> Self:
        """The analyzer of these `parameters`. Indexes of before name no language: theirs is the stemmer's."""
        language = parameters.get("language") or _language_of(parameters["stemmer"])
        words, stemmer, pattern = (parameters[name] for name in ("stopwords", "stemmer", "token_pattern"))
        return cls(words, stemmer, pattern, language=language)

    @property
    def parameters(self) -> dict[str, Any]:
        """What makes this analyzer again, as JSON. The words themselves, should a list change."""
        return {
            "language": self.language,
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
        return self.without_stop_words(self._words(text, document))

    def without_stop_words(self, words: Iterable[str]) -> list[str]:
        """The stems of words, of those that are no stop words."""
        return self._stem([word for word in words if word not in self.stopwords])

    def numbering(self, vocabulary: dict[str, int]) -> Callable[[str], list[int]]:
        """From a passage to the numbers of its terms; for one thread.

        Args:
            vocabulary: the number of each term, in order of first appearance; new ones are put in.
        """
        number_of = _Numbers(self, vocabulary).__getitem__

        def numbers(text: str) -> list[int]:
            return [number for number in map(number_of, self._words(text, document=True)) if number >= 0]

        return numbers

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


class _Numbers(dict[str, int]):
    """The number of each word's stem; -1 for a stop word. Each word is stemmed once."""

    def __init__(self, analyzer: Analyzer, vocabulary: dict[str, int]) -> None:
        super().__init__()
        self._analyzer = analyzer
        self._vocabulary = vocabulary

    def __missing__(self, word: str) -> int:
        number = -1
        for term in self._analyzer.without_stop_words([word]):
            number = self._vocabulary.setdefault(term, len(self._vocabulary))
        self[word] = number
        return number


def analyzed_language(language: str, corpus: Iterable[Document]) -> str:
    """The language of this name; of `auto`, the one that the corpus is written in.

    Raises:
        InputError: there is none of that name.
    """
    if language != languages.AUTO:
        return languages.language_named(language)
    return languages.detected_language(document.passage for document in corpus)


def check_language(language: str | None, analyzer: Any, where: str | os.PathLike[str]) -> None:
    """Refuse a saved index of another language than the one asked for; None and `auto` take any.

    Raises:
        InputError: it is of another language, or there is none of that name.
    """
    if language in (None, languages.AUTO):
        return
    wanted = languages.language_named(language or "")
    if wanted != analyzer.language:
        raise InputError(
            f"the index {os.fspath(where)} holds words of {analyzer.language}, but {wanted} was asked for: "
            f"leave language out, or {AGAIN} with language={wanted!r}"
        )


def _language_of(stemmer: str | None) -> str:
    return stemmer if stemmer in languages.language_names() else languages.DEFAULT


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
