"""Exact search with the vectors of any encoder: cosine with every document, nothing approximated.

The vectors are on disk as one npy file, memory-mapped where asked. From millions of documents on, a
vector index is the better tool.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from limrank_plugins.backends import backend_class
from limrank_plugins.backends.protocols import Backend, Encode
from limrank_plugins.data import Document, Query, as_query
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import as_corpus, best, check_k, query_text, with_scores
from limrank_plugins.retrievers.embedding import Vectors, check_encoder, embed, embed_corpus
from limrank_plugins.retrievers.encoders import backend_of_file, packed, unpacked
from limrank_plugins.retrievers.folder import (
    ImmutableIndex,
    check_numbers,
    corrupt,
    new_folder,
    read_array,
    read_corpus,
    read_manifest,
)
from limrank_plugins.wording import number_of, verb_for

_LOG = logging.getLogger(__name__)
_VECTORS = "vectors.npy"
_SEARCHED_AT_ONCE = 65_536


class DenseRetriever(ImmutableIndex):
    """See `Retriever`. Make one with `build` or `load`. Every document has a score: nothing is dropped.

    The backend must be a plain (not async) one that `Encodes`; it is yours to close unless it was
    made here, in which case `close` does. A copy shares index and backend; a pickled index makes its
    backend again, from its arguments, where it is unpickled.

    Attributes:
        cut_documents: how many documents were longer than the encoder reads, so that their ends cannot be
            found; None for an index of version 0.1.0, which did not count them.
    """

    name = "dense"

    def __init__(
        self,
        corpus: Sequence[Document],
        vectors: Vectors,
        backend: Backend,
        *,
        owns: bool = False,
        cut_documents: int | None = 0,
    ) -> None:
        self._corpus = corpus
        self._vectors = vectors
        self.backend = backend
        self.cut_documents = cut_documents
        self._owns = owns
        self._places: dict[str, int] | None = None

    @classmethod
    def build(
        cls,
        documents: Iterable[str | Document],
        *,
        backend: Backend | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Embed a corpus.

        Args:
            documents: what can be found; their `prior` is not kept.
            backend: what embeds; default: `EncoderBackend("mini")`.
            on_progress: called with (done, total) documents after every 1,024.

        Raises:
            InputError: no documents, or repeated identifiers.
            CapabilityError: the backend cannot embed, or is async.
            BackendError: a document could not be embedded; it is named.
        """
        corpus = as_corpus(documents)
        owns = backend is None
        if backend is None:
            backend = backend_class("encoder")()
        vectors, cut_documents = embed_corpus(backend, corpus, on_progress)
        if cut_documents:
            _LOG.warning(
                "%d of %s %s longer than the encoder reads: what is beyond was not embedded and cannot be "
                "found. Split them into passages",
                cut_documents,
                number_of(len(corpus), "document"),
                verb_for(cut_documents, "are"),
            )
        return cls(corpus, vectors, backend, owns=owns, cut_documents=cut_documents)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], *, backend: Backend | None = None, mmap: bool = False
    ) -> Self:
        """Open what `save` wrote; with `mmap`, vectors and texts stay on disk until they are needed.

        Args:
            folder: the index.
            backend: the one it was built with; default: one of the same kind, model and precision.
            mmap: see above.

        Raises:
            InputError: the folder is not there, of another kind, incomplete or corrupt, or its vectors
                are of another encoder; or its manifest gives its encoder an argument that no file may
                give, such as `trust_remote_code`.
            CapabilityError: the backend cannot embed, or is async.
        """
        manifest = read_manifest(folder, cls.name)
        corpus = read_corpus(folder, manifest.count, lazily=mmap)
        vectors = read_array(Path(folder) / _VECTORS, np.float32, (manifest.count, None), mapped=mmap)
        check_numbers(Path(folder) / _VECTORS, vectors, least=-math.inf)
        arguments, identity = manifest.parameters.get("encoder"), manifest.parameters.get("identity")
        owns = backend is None
        if backend is None:
            if not isinstance(arguments, dict):
                raise InputError(f"the index {folder} was built with backend {identity!r}: pass backend=…")
            backend = backend_of_file(folder, manifest.parameters.get("backend", "encoder"), arguments)
        check_encoder(backend)
        if backend.identity != identity:
            raise InputError(
                f"the index {folder} holds vectors of {identity!r}, but the backend is {backend.identity!r}: "
                f"pass the one it was built with, or build the index again"
            )
        cut = manifest.parameters.get("cut_documents")
        known = isinstance(cut, int) and not isinstance(cut, bool)
        made = cls(corpus, vectors, backend, owns=owns, cut_documents=cut if known else None)
        made.opened = (os.path.abspath(folder), {"mmap": True}) if mmap else None
        return made

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write documents and vectors, whole or not at all; see `Retriever.save`."""
        parameters: dict[str, Any] = {"identity": self.backend.identity}
        parameters["encoder"] = getattr(self.backend, "arguments", None)
        parameters["backend"] = self.backend.name
        parameters["cut_documents"] = self.cut_documents
        with new_folder(folder, self.name, self._corpus, parameters) as place:
            np.save(place / _VECTORS, np.asarray(self._vectors, dtype=np.float32), allow_pickle=False)

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        """The documents nearest to the query, best first; see `Retriever.search`."""
        return self.search_many([query], k)[0]

    def search_many(self, queries: Sequence[str | Query], k: int = 100) -> list[list[Document]]:
        """`search` for each query; the queries are embedded together."""
        check_k(k)
        if not queries:
            return []
        return [self.search_vector(vector, k) for vector in self.query_vectors(queries)]

    def query_vectors(self, queries: Sequence[str | Query]) -> Vectors:
        """What the queries are searched as: shape (queries, dimensions), each row of length 1.

        Raises:
            InputError: no queries, an empty one, or a backend of other dimensions than the index.
            BackendError: a query could not be embedded; it is named.
        """
        texts = [query_text(query) for query in queries]
        if not texts:
            raise InputError("there are no queries: give at least one")
        names = [f"query {text[:80]!r}" for text in texts]
        images = [as_query(query).images for query in queries]
        requests = [Encode(text, "query", shown) for text, shown in zip(texts, images, strict=True)]
        vectors, cut = embed(self.backend, requests, names)
        if any(cut):
            _LOG.warning(
                "%d of %s %s longer than the encoder reads: what is beyond was not read",
                sum(cut),
                number_of(len(names), "query"),
                verb_for(sum(cut), "are"),
            )
        if vectors.shape[1] != self._vectors.shape[1]:
            raise InputError(
                f"the backend gives {vectors.shape[1]} dimensions, but the index has {self._vectors.shape[1]}"
            )
        return vectors

    def search_vector(self, vector: Vectors, k: int = 100) -> list[Document]:
        """The documents nearest to a vector, best first; see `Retriever.search`.

        Args:
            vector: shape (dimensions,). Of length 1 the scores are cosines; its length scales them.
            k: how many at most.

        Raises:
            InputError: not one finite vector of the index's dimensions, or a `k` that is not usable.
        """
        depth = check_k(k)
        point = np.asarray(vector, dtype=np.float32)
        if point.shape != self._vectors.shape[1:]:
            raise InputError(
                f"the vector has shape {point.shape}, but the index has {self._vectors.shape[1]} dimensions"
            )
        if not np.isfinite(point).all():
            raise InputError(f"the vector holds a number that is not finite: {point!r}")
        scores = self._scores(point)
        if not np.isfinite(scores).all():
            if self.opened is not None and not np.isfinite(self._vectors).all():
                raise corrupt(Path(self.opened[0]) / _VECTORS, "its numbers must be finite")
            raise InputError(
                f"the vector is too long for scores that are finite (up to {np.abs(point).max():g}): scale it"
            )
        return with_scores(self._corpus, best(scores, depth))

    def document_vectors(self, ids: Iterable[str]) -> Vectors:
        """The stored vectors of these documents, in their order: shape (ids, dimensions), rows of length 1.

        Raises:
            InputError: an identifier is not in the index; it is named.
        """
        if self._places is None:
            # Once, and only where it is asked for: an index whose texts stay on disk is read through.
            self._places = {document.id or "": place for place, document in enumerate(self._corpus)}
        places = []
        for identifier in ids:
            if identifier not in self._places:
                raise InputError(f"document {identifier!r} is not in this index: rank what it found")
            places.append(self._places[identifier])
        chosen: Vectors = np.asarray(self._vectors[np.asarray(places, dtype=np.intp)])
        return chosen

    def close(self) -> None:
        """Release the encoder, if it was made here. May be called twice."""
        close = getattr(self.backend, "close", None)
        if self._owns and close is not None:
            close()

    # ---- copies ---------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(vars(self) | {"_owns": False})
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        backend = packed(self.backend)
        if self.opened is not None:
            return _opened_again, (type(self), self.opened[0], backend)
        state = (list(self._corpus), np.asarray(self._vectors), backend, self.cut_documents)
        return _made_again, (type(self), *state)

    def __len__(self) -> int:
        return len(self._corpus)

    def _scores(self, vector: Vectors) -> Vectors:
        # Not a matrix product: its sums depend on how many rows and queries there are, and equal
        # passages must have equal scores. It is bound by memory, so this costs nothing.
        scores = np.empty(len(self._vectors), dtype=np.float32)
        for start in range(0, len(scores), _SEARCHED_AT_ONCE):
            part = self._vectors[start : start + _SEARCHED_AT_ONCE]
            np.einsum("ij,j->i", part, vector, out=scores[start : start + len(part)])
        return scores


def _opened_again(kind: type[DenseRetriever], folder: str, backend: Any) -> DenseRetriever:
    made = kind.load(folder, backend=unpacked(backend), mmap=True)
    made._owns = made.backend is not backend
    return made


def _made_again(
    kind: type[DenseRetriever], corpus: list[Document], vectors: Vectors, backend: Any, cut: int | None
) -> DenseRetriever:
    made = unpacked(backend)
    return kind(corpus, vectors, made, owns=made is not backend, cut_documents=cut)
