"""Haystack documents in and out: duplicates, texts, scores. Nothing here changes its arguments."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from haystack import Document

from limrank_plugins import Document as Candidate
from limrank_plugins import Failure, Ranking, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image


def deduplicated(documents: Sequence[Document]) -> list[Document]:
    """One document per id, the one with the highest score, in the order the ids were first seen."""
    best: dict[str, Document] = {}
    for document in documents:
        held = best.get(document.id)
        if held is None or _height(document) > _height(held):
            best[document.id] = document  # a dict keeps the place of a key that is written again
    return list(best.values())


def candidates(documents: Sequence[Document], fields: Sequence[str], separator: str) -> list[Candidate]:
    """The documents as the reranker takes them; the retriever's score becomes the prior."""
    return [_candidate(document, embedded_text(document, fields, separator)) for document in documents]


def _candidate(document: Document, text: str) -> Candidate:
    images: tuple[Image, ...] = ()
    unreadable = ""
    blob = document.blob
    if blob is not None and (blob.mime_type or "").startswith("image/"):
        try:
            images = (Image(bytes(blob.data)),)
        except InputError as error:
            unreadable = f"the image cannot be used: {error}"
    elif blob is not None and not text.strip():
        unreadable = f"there is no text, and a blob of type {blob.mime_type!r} is not read"
    return Candidate(
        text,
        id=document.id,
        prior=_finite(document.score),
        images=images,
        captioned=True,
        unreadable=unreadable,
        body=(len(text) - len(document.content or ""), len(text)),
    )


def embedded_text(document: Document, fields: Sequence[str], separator: str) -> str:
    """The named meta values, where there are any, before the content."""
    values = [str(document.meta[name]) for name in fields if document.meta.get(name) is not None]
    return separator.join([*values, document.content if document.content is not None else ""])


def ranked(documents: Sequence[Document], ranking: Ranking, explanation_field: str | None) -> list[Document]:
    """New documents in the ranking's order, with its scores."""
    by_id = {document.id: document for document in documents}
    reranked: list[Document] = []
    for hit in ranking:
        meta = dict(by_id[hit.id].meta)
        if explanation_field is not None and hit.explanation is not None:
            meta[explanation_field] = hit.explanation
        reranked.append(replace(by_id[hit.id], score=hit.score, meta=meta))
    return reranked


def unscored(documents: Sequence[Document]) -> list[Document]:
    """New documents without a score: a retriever's, left on them, would pass for a verdict."""
    return [replace(document, score=None, meta=dict(document.meta)) for document in documents]


def report(
    documents: Sequence[Document], ranking: Ranking | None, failures: Sequence[Failure], **about: str | None
) -> dict[str, Any]:
    """The output `meta`: what it cost, what failed, and what is known about each document by its id."""
    hits = ranking.hits if ranking is not None else ()
    pieces = {
        hit.id: asdict(hit.piece.counted_from(hit.document.body[0] if hit.document.body is not None else 0))
        for hit in hits
        if hit.piece is not None
    }
    return {
        **about,
        "usage": asdict(ranking.usage if ranking is not None else Usage()),
        "cost": ranking.cost if ranking is not None else 0.0,
        "failures": [failure._asdict() for failure in failures],
        "repairs": ranking.repairs if ranking is not None else 0,
        "explanations": {hit.id: hit.explanation for hit in hits if hit.explanation is not None},
        "retrieval_scores": {d.id: d.score for d in documents if _finite(d.score) is not None},
        "cut_tokens": {hit.id: hit.cut_tokens for hit in hits if hit.cut_tokens > 0},
        "query_cut_tokens": ranking.query_cut_tokens if ranking is not None else 0,
        **({"pieces": pieces} if pieces else {}),
    }


def _finite(score: float | None) -> float | None:
    # A NaN or an infinity says nothing that a document could be lifted by.
    return float(score) if score is not None and math.isfinite(score) else None


def _height(document: Document) -> float:
    score = document.score
    return -math.inf if score is None or math.isnan(score) else float(score)
