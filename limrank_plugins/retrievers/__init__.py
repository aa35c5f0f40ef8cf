"""First stages: from a corpus and a query to candidates. One file each; nothing is imported before use.

Example:
    >>> from limrank_plugins.retrievers import build_retriever
    >>> index = build_retriever("bm25s", ["Bread rises.", "Acid curdles milk."])
    >>> [document.id for document in index.search("curdled milk")]
    ['1']
"""

from __future__ import annotations

import inspect
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from numbers import Real
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from limrank_plugins.checks import check_options, is_finite
from limrank_plugins.data import Document, Query, as_query, named_documents
from limrank_plugins.errors import InputError
from limrank_plugins.segments import clean_text
from limrank_plugins.wording import did_you_mean

DEFAULT_K1 = 0.9
DEFAULT_B = 0.4
"""Anserini's values, for every BM25 here; rank_bm25 on its own takes 1.5 and .75, bm25s 1.5 and .75."""

_RETRIEVERS = {
    "bm25s": ("limrank_plugins.retrievers.bm25s", "BM25sRetriever"),
    "rank_bm25": ("limrank_plugins.retrievers.rank_bm25", "RankBM25Retriever"),
    "lucene": ("limrank_plugins.retrievers.lucene", "LuceneRetriever"),
    "dense": ("limrank_plugins.retrievers.dense", "DenseRetriever"),
    "bm25q": ("limrank_plugins.retrievers.bm25q", "BM25QRetriever"),
}


class Retriever(Protocol):
    """A searchable corpus. Safe to search from many threads.

    What is searched is the passage, title and text. A query's `text` is read; its `instruction` is
    for the reranker: as a bag of words, "not about fish" is about fish.
    """

    name: str

    @classmethod
    def build(cls, documents: Iterable[str | Document], **options: Any) -> Self:
        """Index a corpus.

        Raises:
            InputError: no documents, repeated identifiers, or an option that cannot be used.
        """

    @classmethod
    def load(cls, folder: str | os.PathLike[str], **options: Any) -> Self:
        """Open what `save` wrote.

        Raises:
            InputError: the folder is not there, of another kind, incomplete or corrupt.
        """

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index, whole or not at all. An index that is there is replaced, nothing else is.

        Raises:
            InputError: the folder holds something else, or a document's `meta` is not JSON.
        """

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        """The best documents, best first, as they were indexed and with the score as `prior`.

        Fewer than `k` where fewer match. Equal scores stay in corpus order.

        Raises:
            InputError: an empty query, or a `k` that is not a whole number > 0.
        """

    def search_many(self, queries: Sequence[str | Query], k: int = 100) -> list[list[Document]]:
        """`search` for each query."""

    def __len__(self) -> int: ...


def retriever_names() -> list[str]:
    """The first stages that can be named."""
    return list(_RETRIEVERS)


def retriever_class(name: str) -> type[Retriever]:
    """The class of a named first stage.

    Raises:
        InputError: there is none of that name.
    """
    if "+" in name:
        raise InputError(
            f"{name!r} is several first stages, which `limrank ask` and `limrank eval` fuse, and in Python "
            f"limrank_pipelines.HybridRetriever; here name one of: {', '.join(_RETRIEVERS)}"
        )
    if name not in _RETRIEVERS:
        fix = did_you_mean(name, _RETRIEVERS) or f"there are: {', '.join(_RETRIEVERS)}"
        raise InputError(f"there is no retriever {name!r}; {fix}")
    module, attribute = _RETRIEVERS[name]
    retriever: type[Retriever] = getattr(import_module(module), attribute)
    return retriever


def build_retriever(name: str, documents: Iterable[str | Document], **options: Any) -> Retriever:
    """Index a corpus with a named first stage; see its class for the options.

    Raises:
        InputError: no such first stage or option, no documents, or repeated identifiers.
        MissingExtra: its library is not installed.
    """
    build = retriever_class(name).build
    check_options(f"retriever {name!r}", build, documents, **options)
    return build(documents, **options)


def build_saved(
    name: str, documents: Iterable[str | Document], folder: str | os.PathLike[str], **options: Any
) -> Retriever:
    """Index a corpus into a folder; `bm25s` and `bm25q` hold neither texts nor index in memory for it.

    Raises:
        InputError: as for `build_retriever` and `Retriever.save`.
        MissingExtra: its library is not installed.
    """
    straight = getattr(retriever_class(name), "build_saved", None)
    if straight is None:
        built = build_retriever(name, documents, **options)
        built.save(folder)
        return built
    check_options(f"retriever {name!r}", straight, documents, folder, **options)
    retriever: Retriever = straight(documents, folder, **options)
    return retriever


def takes_language(name: str) -> bool:
    """Whether a first stage finds words, and so has an option `language`.

    Raises:
        InputError: there is none of that name.
    """
    return "language" in inspect.signature(retriever_class(name).build).parameters


def load_retriever(folder: str | os.PathLike[str], **options: Any) -> Retriever:
    """Open a saved index of whatever kind; see `Retriever.load`.

    Raises:
        InputError: the folder is not there, not an index, incomplete or corrupt.
        MissingExtra: its library is not installed.
    """
    from limrank_plugins.retrievers.folder import kind_of

    return retriever_class(kind_of(folder)).load(folder, **options)


def open_retriever(folder: str | os.PathLike[str], **options: Any) -> Retriever:
    """As `load_retriever`, but index and texts stay on disk where the kind of index can do that."""
    from limrank_plugins.retrievers.folder import kind_of

    load = retriever_class(kind_of(folder)).load
    mapped = {"mmap": True} if "mmap" in inspect.signature(load).parameters else {}
    check_options(f"the index {os.fspath(folder)}", load, folder, **options)
    return load(folder, **{**mapped, **options})


# ---- what they share ----------------------------------------------------------------------------


def as_corpus(documents: Iterable[str | Document]) -> list[Document]:
    """Documents that can be indexed and written to a file: named, unique, without lone surrogates.

    Raises:
        InputError: there are none, an item is no document, or identifiers repeat or cannot be written.
    """
    return list(each_document(documents))


def each_document(documents: Iterable[str | Document]) -> Iterator[Document]:
    """As `as_corpus`, one by one: what is wrong with a document is said when it comes."""
    seen: set[str] = set()
    for document in named_documents(documents):
        name = document.id or ""
        if clean_text(name) != document.id:
            raise InputError(
                f"document id {document.id!r} holds a lone surrogate, which no file can: rename it"
            )
        if name in seen:
            raise InputError(f"every document id must be unique, but these repeat: {name!r}")
        seen.add(name)
        text, title = clean_text(document.text), clean_text(document.title)
        if text != document.text or title != document.title:
            document = replace(document, text=text, title=title)
        yield document
    if not seen:
        raise InputError("the corpus is empty: give at least one document")


def query_text(query: str | Query) -> str:
    """The text to search for."""
    return clean_text(as_query(query).text)


def check_k(k: int, name: str = "k") -> int:
    """`k` as an int; `name` is what the message calls it.

    Raises:
        InputError: it is not a whole number > 0.
    """
    try:
        depth = -1 if isinstance(k, bool | np.bool_) else operator.index(k)
    except TypeError:
        depth = -1
    if depth < 1:
        raise InputError(f"{name} must be a whole number > 0, but got {k!r}")
    return depth


def check_bm25(k1: float, b: float) -> None:
    """Raise an `InputError` for values of `k1` or `b` that BM25 has no meaning for."""
    if isinstance(k1, bool) or not isinstance(k1, Real) or not is_finite(k1) or k1 < 0:
        raise InputError(f"k1 must be a finite number >= 0, but got {k1!r}")
    if isinstance(b, bool) or not isinstance(b, Real) or not 0 <= b <= 1:
        raise InputError(f"b must be in [0, 1], but got {b!r}")


def best(
    scores: npt.NDArray[Any], k: int, among: npt.NDArray[np.intp] | None = None
) -> list[tuple[int, float]]:
    """Positions and scores of the `k` highest, best first; equal scores in ascending position.

    Args:
        scores: one per document.
        k: how many at most.
        among: only these positions, ascending; default: all.
    """
    places = np.arange(len(scores)) if among is None else among
    values = scores[places]
    if len(places) > k:
        # Everything that ties with the k-th stays in, so that the cut does not choose among equals.
        kept = values >= np.partition(values, len(values) - k)[len(values) - k]
        places, values = places[kept], values[kept]
    order = np.argsort(-values, kind="stable")[:k]
    return list(zip(places[order].tolist(), values[order].tolist(), strict=True))


def with_scores(corpus: Sequence[Document], scored: Iterable[tuple[int, float]]) -> list[Document]:
    """The documents at these positions, each with its score as prior."""
    return [replace(corpus[place], prior=score) for place, score in scored]
