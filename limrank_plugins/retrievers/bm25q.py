"""BM25 as BRIGHT's and R2MED's leaderboards use it: Lucene's words, and the query weighted by BM25, too.

It is `bm25s` with two other defaults. Scores are those of the released code (retrievers.py of
github.com/xlang-ai/BRIGHT: pyserini's analyzer, gensim's `LuceneBM25Model` with k1 = .9 and b = .4, an inner
product without normalisation), to float32; `tests/compat/run_bright_bm25` compares them. Excluded documents
are the evaluation's business.

Lucene's words need Java (`pip install 'limrank[pyserini]'`); `analysis="snowball"` does without, and finds
nearly the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from limrank_plugins.data import Document
from limrank_plugins.retrievers import DEFAULT_B, DEFAULT_K1
from limrank_plugins.retrievers.analysis import LANGUAGES_OWN, TOKEN_PATTERN
from limrank_plugins.retrievers.bm25s import BM25sRetriever
from limrank_plugins.retrievers.languages import DEFAULT


class BM25QRetriever(BM25sRetriever):
    """See `BM25sRetriever`; what is different is what `build` takes where nothing is said."""

    name = "bm25q"

    @classmethod
    def build(
        cls,
        documents: Iterable[str | Document],
        *,
        k1: float = DEFAULT_K1,
        b: float = DEFAULT_B,
        language: str = DEFAULT,
        stopwords: str | Iterable[str] | None = LANGUAGES_OWN,
        stemmer: str | None = LANGUAGES_OWN,
        token_pattern: str = TOKEN_PATTERN,
        analysis: str = "lucene",
        query_weighting: str = "bm25",
    ) -> Self:
        """Index a corpus; see `BM25sRetriever.build`."""
        return super().build(
            documents,
            k1=k1,
            b=b,
            language=language,
            stopwords=stopwords,
            stemmer=stemmer,
            token_pattern=token_pattern,
            analysis=analysis,
            query_weighting=query_weighting,
        )
