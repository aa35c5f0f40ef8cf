"""BM25 by the library rank_bm25, for those who compare with it. Slow: it visits every document.

Its `BM25Okapi` scores `(k1 + 1)` times what bm25s does with the same idf, so the order is the same.
Its own idf is another matter: ln((N - n + .5) / (n + .5)) is negative for a term in more than half of
the documents, and what the library puts instead, a quarter of the mean idf, may be negative too: on a
small corpus the only document without the word comes first. The default here is therefore Lucene's
idf, ln(1 + …), as in the other retrievers; `idf="okapi"` is the library's, with 0 for what remains
below it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError, require
from limrank_plugins.files import DAMAGE
from limrank_plugins.retrievers import (
    DEFAULT_B,
    DEFAULT_K1,
    as_corpus,
    best,
    check_bm25,
    check_k,
    query_text,
    with_scores,
)
from limrank_plugins.retrievers.analysis import (
    LANGUAGES_OWN,
    TOKEN_PATTERN,
    Analyzer,
    analyzed_language,
    check_language,
)
from limrank_plugins.retrievers.folder import ImmutableIndex, corrupt, new_folder, read_corpus, read_manifest
from limrank_plugins.retrievers.languages import DEFAULT

_IDFS = ("lucene", "okapi")
_NEARLY_0 = 1e-300


class RankBM25Retriever(ImmutableIndex):
    """See `Retriever`. Make one with `build` or `load`.

    What the library does otherwise, and this does not: it reads a plain string as a list of letters,
    divides by zero for an empty corpus, for one without any term and for `k1=0`, ranks documents that
    share no word with the query, and puts equal scores in reverse corpus order. It has nothing to save:
    the documents are kept, and the index is made again from them.
    """

    name = "rank_bm25"

    def __init__(
        self, corpus: Sequence[Document], analyzer: Analyzer, *, k1: float, b: float, idf: str
    ) -> None:
        check_bm25(k1, b)
        if idf not in _IDFS:
            raise InputError(f"idf must be 'lucene' or 'okapi', but got {idf!r}")
        self._corpus = corpus
        self.analyzer = analyzer
        self.k1 = float(k1)
        self.b = float(b)
        self.idf = idf
        okapi = require("rank_bm25", "rank-bm25", "RankBM25Retriever").BM25Okapi
        terms = [analyzer.terms(document.passage, document=True) for document in corpus]
        # With k1 = 0 it divides 0 by 0 for a term the document lacks; this is 0 to any term that is there.
        self._index = okapi(terms, k1=max(self.k1, _NEARLY_0), b=self.b) if any(terms) else None
        if self._index is not None:
            self._index.idf = self._weights()

    @classmethod
    def build(
        cls,
        documents: Iterable[str | Document],
        *,
        k1: float = DEFAULT_K1,
        b: float = DEFAULT_B,
        idf: str = "lucene",
        language: str = DEFAULT,
        stopwords: str | Iterable[str] | None = LANGUAGES_OWN,
        stemmer: str | None = LANGUAGES_OWN,
        token_pattern: str = TOKEN_PATTERN,
    ) -> Self:
        """Index a corpus.

        Args:
            documents: what can be found; their `prior` is not kept.
            k1: how slowly a term's repetitions saturate, at least 0; default .9 (the library's own: 1.5).
            b: how much long documents are held back, in [0, 1]; default .4 (the library's own: .75).
            idf: `"lucene"` or `"okapi"`; see above.
            language: decides about stop words and stemmer, see `BM25sRetriever.build`; default English.
            stopwords: see `Analyzer`; default: the language's.
            stemmer: see `Analyzer`; default: the language's.
            token_pattern: see `Analyzer`.

        Raises:
            InputError: no documents, repeated identifiers, or an option that cannot be used.
            MissingExtra: rank_bm25 is not installed.
        """
        corpus = as_corpus(documents)
        analyzer = Analyzer(stopwords, stemmer, token_pattern, language=analyzed_language(language, corpus))
        return cls(corpus, analyzer, k1=k1, b=b, idf=idf)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, language: str | None = None) -> Self:
        """Open what `save` wrote, and index the documents again.

        Args:
            folder: the index.
            language: what its words must be of; default: whatever they are.

        Raises:
            InputError: the folder is not there, of another kind, incomplete or corrupt, or of another
                language.
            MissingExtra: rank_bm25 is not installed.
        """
        manifest = read_manifest(folder, cls.name)
        parameters = manifest.parameters
        try:
            analyzer = Analyzer.saved(parameters)
            k1, b, idf = float(parameters["k1"]), float(parameters["b"]), str(parameters["idf"])
            check_bm25(k1, b)
        except DAMAGE as error:
            raise corrupt(folder, error) from error
        check_language(language, analyzer, folder)
        return cls(read_corpus(folder, manifest.count), analyzer, k1=k1, b=b, idf=idf)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the documents and the parameters, whole or not at all; see `Retriever.save`."""
        parameters = {"k1": self.k1, "b": self.b, "idf": self.idf, **self.analyzer.parameters}
        with new_folder(folder, self.name, self._corpus, parameters):
            pass

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        """The best documents that share a term with the query, best first; see `Retriever.search`."""
        depth, text = check_k(k), query_text(query)
        if self._index is None:
            return []
        terms = self.analyzer.terms(text)
        wanted = set(terms)
        matching = [i for i, seen in enumerate(self._index.doc_freqs) if not wanted.isdisjoint(seen)]
        scores = np.zeros(len(self._corpus))
        if matching:
            scores[matching] = self._index.get_batch_scores(terms, matching)
        return with_scores(self._corpus, best(scores, depth, np.asarray(matching, dtype=np.intp)))

    def search_many(self, queries: Sequence[str | Query], k: int = 100) -> list[list[Document]]:
        """`search` for each query."""
        return [self.search(query, k) for query in queries]

    @property
    def language(self) -> str:
        """What its words are of."""
        return self.analyzer.language

    def __len__(self) -> int:
        return len(self._corpus)

    def _weights(self) -> dict[str, float]:
        index: Any = self._index
        if self.idf == "okapi":
            return {term: max(weight, 0.0) for term, weight in index.idf.items()}
        within: dict[str, int] = {}
        for seen in index.doc_freqs:
            for term in seen:
                within[term] = within.get(term, 0) + 1
        size = index.corpus_size
        return {term: math.log1p((size - n + 0.5) / (n + 0.5)) for term, n in within.items()}
