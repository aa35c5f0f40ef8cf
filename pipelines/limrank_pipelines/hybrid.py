"""Several first stages made one by reciprocal rank fusion: words find what vectors miss, and vice versa."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from limrank_pipelines.first_stage import Searches
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query, as_query
from limrank_plugins.errors import InputError
from limrank_plugins.folders import (
    AGAIN,
    check_files,
    manifest_fields,
    read_manifest_file,
    whole_folder,
    write_manifest,
)
from limrank_plugins.retrievers import as_corpus, build_retriever, check_k, load_retriever
from limrank_plugins.wording import number_of
from limrank_plugins.wrappers.fuse import Fuse

_MANIFEST = "hybrid.json"
_FORMAT = 1
_MOST = 16
_OURS = {_MANIFEST, *(f"part-{number}" for number in range(_MOST))}


class HybridRetriever:
    """A `limrank_plugins.retrievers.Retriever` made of others. Safe to search from many threads.

    A document's score is the sum over the parts that find it of weight / (k + rank), ranks from 1
    (Cormack et al., SIGIR 2009); documents that a part scores equally share the first of their ranks,
    as in recipe `fuse`. Equal sums stay in corpus order where the corpus is known (`build`, `load`),
    else in the order of the parts.

    Args:
        parts: at least two things with a `search(query, k)`, over the same documents.
        weights: one for each part; default: 1 for each.
        rrf_k: the k of the formula; default 60.
        depth: how far each part is searched, at least; default 100. More is searched where more is
            asked for.

    Raises:
        InputError: fewer than two parts, or a value that cannot be used.

    Example:
        >>> words = build_retriever("bm25s", ["Bread rises.", "Acid curdles milk."])
        >>> letters = build_retriever("bm25s", ["Bread rises.", "Acid curdles milk."], stemmer=None)
        >>> [document.id for document in HybridRetriever([words, letters]).search("milk curdles")]
        ['1']
    """

    name = "hybrid"

    def __init__(
        self,
        parts: Sequence[Searches],
        *,
        weights: Sequence[float] = (),
        rrf_k: int = 60,
        depth: int = 100,
    ) -> None:
        self.parts = tuple(parts)
        if not 2 <= len(self.parts) <= _MOST:
            raise InputError(f"give 2 to {_MOST} retrievers to fuse, but got {len(self.parts)}")
        for part in self.parts:
            if not isinstance(part, Searches):
                raise InputError(f"a retriever has a method search(query, k), {type(part).__name__} has none")
        if weights and len(weights) != len(self.parts):
            raise InputError(
                f"got {number_of(len(weights), 'weight')} for {number_of(len(self.parts), 'retriever')}"
            )
        fuse = Fuse("rrf", tuple(weights), rrf_k)  # the recipe's formula, and its checks of weights and k
        self.weights, self.rrf_k = fuse.weights or (1.0,) * len(self.parts), fuse.k
        self.depth = check_k(depth, "depth")
        self._places: Mapping[str, int] | None = None

    @classmethod
    def build(
        cls,
        documents: Iterable[str | Document],
        *,
        parts: Sequence[str] = ("bm25s", "dense"),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> Self:
        """Index a corpus with several named first stages.

        Args:
            documents: what can be found.
            parts: names of first stages; default BM25 and the embedded encoder.
            options: of the parts' constructors, by name; default: none.
            settings: `weights`, `rrf_k` and `depth`, see the class.

        Raises:
            InputError: no such first stage or option, no documents, or repeated identifiers.
            MissingExtra: a library is not installed.
        """
        options = dict(options or {})
        strangers = sorted(set(options) - set(parts))
        if strangers:
            raise InputError(
                f"options are given for {strangers}, which are not among the parts {list(parts)}"
            )
        corpus = as_corpus(documents)
        hybrid = cls([build_retriever(name, corpus, **options.get(name, {})) for name in parts], **settings)
        hybrid._places = {document.id or "": place for place, document in enumerate(corpus)}
        return hybrid

    @classmethod
    def load(cls, folder: str | os.PathLike[str], **options: Any) -> Self:
        """Open what `save` wrote; `options` are passed on to every part.

        Raises:
            InputError: the folder is not there, of another kind, incomplete or corrupt.
        """
        place = Path(folder)
        file = place / _MANIFEST
        if not file.is_file():
            raise InputError(f"{place} is no hybrid index, or an incomplete one: it has no {_MANIFEST}")
        body = read_manifest_file(file)
        with manifest_fields(file):
            version, count = body["format"], whole_number("parts", body["parts"], least=2, most=_MOST)
            settings: dict[str, Any] = {
                "weights": [float(weight) for weight in body["weights"]],
                "rrf_k": int(body["rrf_k"]),
                "depth": check_k(body["depth"], "depth"),
            }
            Fuse("rrf", tuple(settings["weights"]), settings["rrf_k"])
            order = None if body["order"] is None else [str(identifier) for identifier in body["order"]]
        if version != _FORMAT:
            raise InputError(f"{file} has format {version!r}, but this limrank reads {_FORMAT}: {AGAIN}")
        check_files(file, body)
        hybrid = cls([load_retriever(place / f"part-{i}", **options) for i in range(count)], **settings)
        if order is not None:
            hybrid._places = {identifier: number for number, identifier in enumerate(order)}
        return hybrid

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all parts, whole or not at all. A hybrid index that is there is replaced, nothing else is.

        Raises:
            InputError: the folder holds something else, or a part cannot be saved.
        """
        unsaved = [type(part).__name__ for part in self.parts if not hasattr(part, "save")]
        if unsaved:
            raise InputError(f"{unsaved[0]} has no save: only retrievers of this package are written")
        with whole_folder(folder, _OURS) as place:
            for number, part in enumerate(self.parts):
                part.save(place / f"part-{number}")  # type: ignore[attr-defined]
            body = {
                "format": _FORMAT,
                "parts": len(self.parts),
                "weights": list(self.weights),
                "rrf_k": self.rrf_k,
                "depth": self.depth,
                "order": None if self._places is None else list(self._places),
            }
            write_manifest(place / _MANIFEST, body, summed=False)

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        """The best documents, best first, with the fused score as prior; see `Retriever.search`."""
        return self.search_many([query], k)[0]

    def search_many(self, queries: Sequence[str | Query], k: int = 100) -> list[list[Document]]:
        """`search` for each query."""
        deep = max(check_k(k), self.depth)
        lists = [_search(part, [as_query(query) for query in queries], deep) for part in self.parts]
        return [self._fused([ranked[i] for ranked in lists])[:k] for i in range(len(queries))]

    def __len__(self) -> int:
        """How many documents can be found; 0 where no part knows."""
        return max((len(part) for part in self.parts if isinstance(part, Sized)), default=0)

    def _fused(self, lists: Sequence[Sequence[Document]]) -> list[Document]:
        first: dict[str, Document] = {}
        total: dict[str, float] = {}
        for weight, ranked in zip(self.weights, lists, strict=True):
            for document, rank in zip(ranked, _ranks(ranked), strict=True):
                name = document.id or ""
                if first.setdefault(name, document).passage != document.passage:
                    raise InputError(f"the retrievers hold different documents under the id {name!r}")
                total[name] = total.get(name, 0.0) + weight / (self.rrf_k + rank)
        known = self._places
        place = {name: i if known is None else known.get(name, i) for i, name in enumerate(total)}
        order = sorted(total, key=lambda name: (-total[name], place[name]))
        return [replace(first[name], prior=total[name]) for name in order]


def _ranks(ranked: Sequence[Document]) -> list[int]:
    """From 1; equal scores share the first of their ranks. A list without scores is an order."""
    shared: dict[float, int] = {}
    return [
        rank if document.prior is None else shared.setdefault(document.prior, rank)
        for rank, document in enumerate(ranked, start=1)
    ]


def _search(part: Searches, queries: Sequence[Query], k: int) -> list[list[Document]]:
    many = getattr(part, "search_many", None)
    if many is None:
        return [part.search(query, k) for query in queries]
    lists: list[list[Document]] = many(queries, k)
    return lists
