"""Lucene's English analysis for indexes that are not Lucene's: what pyserini's `get_lucene_analyzer()` gives.

33 stop words, possessives off, the Porter stemmer, words as Unicode divides them (those of one letter are
kept, "a:b" is one). It needs pyserini's jar and a Java: `pip install 'limrank[pyserini]'`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from limrank_plugins.errors import MissingExtra
from limrank_plugins.retrievers.java import java_class
from limrank_plugins.retrievers.languages import DEFAULT

# Calls of one Java method from several threads at once fail in pyjnius, whosever they are.
_ONE_AT_A_TIME = threading.Lock()


class LuceneAnalyzer:
    """Turns texts into terms, as `analysis.Analyzer` does. Safe to use from many threads.

    Raises:
        MissingExtra: pyserini or Java is not there.
    """

    language = DEFAULT

    def __init__(self) -> None:
        try:
            english = java_class("io.anserini.analysis.DefaultEnglishAnalyzer")
        except MissingExtra as error:
            raise MissingExtra(f"{error}; or do without Lucene's words: analysis='snowball'") from error
        self._analyzer = english.newStemmingInstance("porter")
        self._utils = java_class("io.anserini.analysis.AnalyzerUtils")

    @property
    def parameters(self) -> dict[str, Any]:
        """What makes this analyzer again, as JSON."""
        return {"analysis": "lucene"}

    def terms(self, text: str) -> list[str]:
        """The terms of one text, in order, repeated as often as they come."""
        with _ONE_AT_A_TIME:
            return [str(term) for term in self._utils.analyze(self._analyzer, text).toArray()]

    def numbering(self, vocabulary: dict[str, int]) -> Callable[[str], list[int]]:
        """From a passage to the numbers of its terms, as `analysis.Analyzer` does it."""
        return lambda text: [vocabulary.setdefault(term, len(vocabulary)) for term in self.terms(text)]
