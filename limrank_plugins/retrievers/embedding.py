"""Documents and queries as vectors of length 1, embedded by any plain backend that can."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from limrank_plugins.backends.protocols import Backend, Embedded, Encode, Encodes
from limrank_plugins.data import Document
from limrank_plugins.errors import BackendError, CapabilityError

_ENCODED_AT_ONCE = 1024

Vectors = npt.NDArray[np.float32]


def embed_corpus(
    backend: Backend, corpus: Sequence[Document], on_progress: Callable[[int, int], None] | None = None
) -> tuple[Vectors, int]:
    """One row for each document, and how many documents were longer than the backend reads.

    Args:
        backend: what embeds.
        corpus: at least one document.
        on_progress: called with (done, total) documents after every 1,024.

    Raises:
        CapabilityError: the backend cannot embed, or is async.
        BackendError: a document could not be embedded; it is named.
    """
    parts: list[Vectors] = []
    cut: list[bool] = []
    # Equal passages get one vector: computed in another batch it would differ by rounding.
    places: dict[bytes, int] = {}
    rows: list[int] = []
    for start in range(0, len(corpus), _ENCODED_AT_ONCE):
        part = corpus[start : start + _ENCODED_AT_ONCE]
        digests = [_digest(document) for document in part]
        new: dict[bytes, Document] = {}
        for digest, document in zip(digests, part, strict=True):
            if digest not in places:
                new.setdefault(digest, document)
        if new:
            names = [f"document {document.id!r}" for document in new.values()]
            requests = [Encode(document.passage, images=document.images) for document in new.values()]
            vectors, are_cut = embed(backend, requests, names)
            parts.append(vectors)
            cut += are_cut
            places |= {digest: len(places) + number for number, digest in enumerate(new)}
        rows += [places[digest] for digest in digests]
        if on_progress is not None:
            on_progress(start + len(part), len(corpus))
    matrix = np.concatenate(parts)
    return matrix if len(places) == len(rows) else matrix[rows], sum(cut[row] for row in rows)


def embed(backend: Backend, requests: Sequence[Encode], names: Sequence[str]) -> tuple[Vectors, list[bool]]:
    """One row of length 1 per request, a vector of zeros stays one; and which were not read whole.

    Args:
        backend: what embeds.
        requests: at least one.
        names: what messages call them.

    Raises:
        CapabilityError: the backend cannot embed, or is async.
        BackendError: one could not be embedded; it is named.
    """
    check_encoder(backend)
    replies = backend.encode(requests)  # type: ignore[attr-defined]  # checked just now
    if inspect.isawaitable(replies):
        getattr(replies, "close", lambda: None)()
        raise CapabilityError(f"backend {backend.name!r} is async; DenseRetriever needs a plain one")
    rows, cut = [], []
    for name, reply in zip(names, replies, strict=True):
        if not isinstance(reply, Embedded):
            raise BackendError(f"{name} could not be embedded: {getattr(reply, 'reason', reply)}")
        if reply.vector.ndim != 1 or not np.isfinite(reply.vector).all():
            raise BackendError(f"{name} could not be embedded: the vector is not finite, or no vector")
        cut.append(reply.cut_tokens > 0)
        rows.append(reply.vector.astype(np.float32, copy=False))
    vectors = np.stack(rows)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    normal: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return normal, cut


def check_encoder(backend: Backend) -> None:
    """Raise a `CapabilityError` for a backend that cannot embed, or only from `async` code."""
    if not isinstance(backend, Encodes):
        raise CapabilityError(f"backend {backend.name!r} cannot turn texts into vectors; EncoderBackend can")
    if inspect.iscoroutinefunction(backend.encode):
        raise CapabilityError(f"backend {backend.name!r} is async; DenseRetriever needs a plain one")


def _digest(document: Document) -> bytes:
    """Equal for documents that are embedded alike."""
    digest = hashlib.blake2b(document.passage.encode("utf-8", "surrogatepass"), digest_size=16)
    for image in document.images:
        digest.update(hashlib.sha256(image.data).digest())
    return digest.digest()
