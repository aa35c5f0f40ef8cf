"""First stages as `limrank bench retrieval` runs them: ours, and the libraries others use, as they come.

Each is given the passages one by one and indexes them, then searches. The peers are called as their
documentation shows; rank-bm25 and bm25s find no words themselves and get ours. All take k1 = .9 and b = .4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.data import Document
from limrank_plugins.errors import require
from limrank_plugins.retrievers import DEFAULT_B, DEFAULT_K1, build_saved

K = 10
"""How many passages a query finds."""
Hits = list[tuple[str, float]]
"""The best passages' ids and scores."""
Search = Callable[[str], Hits]
Build = Callable[[Iterable[Document], Path], Search]
"""Takes passages, and a folder for what is kept on disk; a search finds the best `K`."""
_WHY = "limrank bench retrieval"
_TOGETHER = 1_000  # documents that are written into Haystack's store at once


def ours(passages: Iterable[Document], folder: Path) -> Search:
    """Limrank's bm25s: texts and index on disk, mapped."""
    index = build_saved("bm25s", passages, folder / "index")
    return lambda query: [(hit.id or "", hit.prior or 0.0) for hit in index.search(query, K)]


def rank_bm25(passages: Iterable[Document], folder: Path) -> Search:
    """The class of rank-bm25 that its documentation begins with, and our words."""
    okapi = require("rank_bm25", "rank-bm25", _WHY).BM25Okapi
    terms = _terms()
    index = okapi([terms(document.passage) for document in passages], k1=DEFAULT_K1, b=DEFAULT_B)

    def search(query: str) -> Hits:
        scores = index.get_scores(terms(query))
        best = scores.argsort()[::-1][:K]
        return [(str(place), float(scores[place])) for place in best]

    return search


def haystack(passages: Iterable[Document], folder: Path) -> Search:
    """Haystack's in-memory store with its BM25 retriever, in their default form."""
    require("haystack", "haystack", _WHY)
    from haystack import Document as TheirDocument
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore(bm25_parameters={"k1": DEFAULT_K1, "b": DEFAULT_B})
    waiting: list[TheirDocument] = []
    for document in passages:
        waiting.append(TheirDocument(id=document.id or "", content=document.passage))
        if len(waiting) == _TOGETHER:
            store.write_documents(waiting)
            waiting = []
    store.write_documents(waiting)
    retriever = InMemoryBM25Retriever(store, top_k=K)

    def search(query: str) -> Hits:
        return [(hit.id, hit.score or 0.0) for hit in retriever.run(query)["documents"]]

    return search


def bm25s(passages: Iterable[Document], folder: Path) -> Search:
    """The library bm25s without ours around it, and our words."""
    from limrank_plugins.retrievers.analysis import library

    terms = _terms()
    index = library().BM25(k1=DEFAULT_K1, b=DEFAULT_B, method="lucene")
    index.index([terms(document.passage) for document in passages], show_progress=False)
    index.save(folder / "index", show_progress=False)

    def search(query: str) -> Hits:
        places, scores = index.retrieve([terms(query)], k=K, show_progress=False)
        return [(str(p), float(s)) for p, s in zip(places[0], scores[0], strict=True)]

    return search


def lucene(passages: Iterable[Document], folder: Path) -> Search:
    """Anserini's Lucene as pyserini calls it; its texts are in the index."""
    from limrank_plugins.retrievers.java import java_class

    indexer = java_class("io.anserini.index.SimpleIndexer")(str(folder / "index"), False, 1)
    for document in passages:
        indexer.addRawDocument(json.dumps({"id": document.id, "contents": document.passage}))
    indexer.close()
    searcher = java_class("io.anserini.search.SimpleSearcher")(str(folder / "index"))
    searcher.set_bm25(DEFAULT_K1, DEFAULT_B)
    return lambda query: [(str(hit.docid), float(hit.score)) for hit in searcher.search(query, K)]


@dataclass(frozen=True, slots=True)
class FirstStage:
    """A first stage that ours is compared with.

    Attributes:
        name: in the table.
        build: indexes.
        same_formula: whether it scores as ours does, so that the best passages should be the same.
        most: passages that it can take in the memory and time of such a comparison; None: any number.
    """

    name: str
    build: Build
    same_formula: bool = False
    most: int | None = None


OURS = FirstStage("limrank", ours)
PEERS: Sequence[FirstStage] = (
    FirstStage("rank-bm25", rank_bm25, most=100_000),
    FirstStage("Haystack InMemoryBM25", haystack, most=100_000),
    FirstStage("bm25s", bm25s, same_formula=True, most=300_000),
    FirstStage("pyserini (Lucene)", lucene, same_formula=True),
)


def _terms() -> Callable[[str], list[str]]:
    from limrank_plugins.retrievers.analysis import Analyzer

    analyzer: Any = Analyzer()
    return lambda text: analyzer.terms(text, document=True)
