"""BM25 by Lucene itself, as Anserini and pyserini run it: the numbers of the literature.

Lucene's English analysis: its 33 stop words, the Porter stemmer, words as Unicode divides them (those
of one letter are kept, "a:b" is one). A document's length is rounded to what fits into one byte.
Anserini rounds scores to four decimals and takes a millionth off each further one of several equal
ones.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError
from limrank_plugins.files import DAMAGE
from limrank_plugins.retrievers import (
    DEFAULT_B,
    DEFAULT_K1,
    as_corpus,
    check_bm25,
    check_k,
    query_text,
    with_scores,
)
from limrank_plugins.retrievers.folder import ImmutableIndex, corrupt, new_folder, read_corpus, read_manifest
from limrank_plugins.retrievers.java import java_class

_INDEX = "lucene"
# Lucene's limit of 1,024 different terms would refuse a query of some pages.
_MAX_TERMS = 1 << 20


class LuceneRetriever(ImmutableIndex):
    """See `Retriever`. Make one with `build` or `load`; the first use in a process starts Java.

    It can be pickled once it is in a folder, which is then opened again. A process forked from one in which
    Java runs cannot use Java: start processes by `spawn`.

    A query is a bag of words: nothing in it is query syntax. Equal scores come out in corpus order.
    """

    name = "lucene"

    def __init__(self, corpus: Sequence[Document], index: Path, *, k1: float, b: float) -> None:
        check_bm25(k1, b)
        self._corpus = corpus
        self._index = index
        self.k1 = float(k1)
        self.b = float(b)
        java_class("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(_MAX_TERMS)
        try:
            self._searcher: Any = java_class("io.anserini.search.SimpleSearcher")(str(index))
            self._searcher.set_bm25(self.k1, self.b)
        except Exception as error:
            if not _from_java(error):
                raise
            raise corrupt(index, error) from error

    @classmethod
    def build(
        cls, documents: Iterable[str | Document], *, k1: float = DEFAULT_K1, b: float = DEFAULT_B
    ) -> Self:
        """Index a corpus, in a temporary folder until it is saved.

        Args:
            documents: what can be found; their `prior` is not kept.
            k1: how slowly a term's repetitions saturate, at least 0; default .9.
            b: how much long documents are held back, in [0, 1]; default .4.

        Raises:
            InputError: no documents, repeated identifiers, or an option that cannot be used.
            MissingExtra: pyserini or Java is not there.
        """
        check_bm25(k1, b)
        corpus = as_corpus(documents)
        indexer_class = java_class("io.anserini.index.SimpleIndexer")
        folder = Path(tempfile.mkdtemp(prefix="limrank-lucene-"))
        try:
            # One thread: the order in Lucene is then the order of the corpus.
            indexer = indexer_class(str(folder), False, 1)
            try:
                for place, document in enumerate(corpus):
                    _add(indexer, place, document)
            finally:
                indexer.close()
            retriever = cls(corpus, folder, k1=k1, b=b)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(retriever, shutil.rmtree, folder, True)
        return retriever

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, mmap: bool = False) -> Self:
        """Open what `save` wrote; with `mmap`, texts stay on disk (Lucene's index always does).

        Raises:
            InputError: the folder is not there, of another kind, incomplete or corrupt.
            MissingExtra: pyserini or Java is not there.
        """
        manifest = read_manifest(folder, cls.name)
        corpus = read_corpus(folder, manifest.count, lazily=mmap)
        try:
            k1, b = float(manifest.parameters["k1"]), float(manifest.parameters["b"])
            check_bm25(k1, b)
        except DAMAGE as error:
            raise corrupt(folder, error) from error
        made = cls(corpus, Path(folder) / _INDEX, k1=k1, b=b)
        made.opened = os.path.abspath(folder), {"mmap": mmap}
        return made

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index, whole or not at all; see `Retriever.save`."""
        with new_folder(folder, self.name, self._corpus, {"k1": self.k1, "b": self.b}) as place:
            shutil.copytree(self._index, place / _INDEX, ignore=shutil.ignore_patterns("write.lock"))
        if self.opened is None:
            self.opened = os.path.abspath(folder), {}

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        """The best documents, best first; see `Retriever.search`."""
        depth, text = min(check_k(k), len(self._corpus)), query_text(query)
        hits = self._searcher.search(text, depth)
        return with_scores(self._corpus, [(int(hit.docid), float(hit.score)) for hit in hits])

    def search_many(self, queries: Sequence[str | Query], k: int = 100) -> list[list[Document]]:
        """`search` for each query."""
        return [self.search(query, k) for query in queries]

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.opened is None:
            raise TypeError(
                "this Lucene index cannot be pickled, because it lies in a temporary folder: save (persist) "
                "it, and a pickle opens the folder it is in"
            )
        return super().__reduce_ex__(protocol)

    def __len__(self) -> int:
        return len(self._corpus)


def _add(indexer: Any, place: int, document: Document) -> None:
    """Anserini orders equal scores by id, as text: a position with leading zeros keeps corpus order."""
    if not document.passage.strip():
        return  # nothing to find, and an error to Anserini
    # As JSON in plain ASCII, so that no character depends on how strings cross into Java.
    if not indexer.addRawDocument(json.dumps({"id": f"{place:010d}", "contents": document.passage})):
        raise BackendError(f"Lucene did not index document {document.id!r}")


def _from_java(error: Exception) -> bool:
    return type(error).__name__ == "JavaException"
