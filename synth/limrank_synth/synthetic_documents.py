"""ChatGPT-RetrievalQA's synthetic documents (arXiv 2305.02320): a model's answers as a collection.

Cross-encoders trained on a model's answers were better zero-shot than those trained on people's. Every
query's answers are its relevant documents; negatives are drawn from the answers to other queries.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.retrievers import build_retriever
from limrank_plugins.seeding import seeded
from limrank_synth.quotas import largest_remainder
from limrank_synth.records import Rejection, Seed, Source
from limrank_synth.role_requests import (
    RoleProgram,
    RoleRequest,
    StageError,
    UnusableReply,
    insist,
    plain_text,
)
from limrank_synth.settings import SynthSettings
from limrank_synth.templates import chat_template

SPLITS: Mapping[str, float] = {"train": 69.0, "dev": 2.5, "test": 28.5}
"""The paper's shares of the queries."""

_WORDS = (60, 220)
"""Fewest and most that an answer is asked to have."""

Negatives = Literal["random", "bm25"]


@dataclass(frozen=True, slots=True)
class SyntheticAnswer:
    """A document that a model wrote for a query.

    Attributes:
        query_id: what it answers.
        text: the answer.
        sample: which of several independent ones.
        model: who wrote it.
        sources: of the query, and the model.
    """

    query_id: str
    text: str
    sample: int
    model: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class QueryAnswers:
    """What became of one query: its answers, and why others are missing."""

    query: Seed
    answers: tuple[SyntheticAnswer, ...]
    rejections: tuple[Rejection, ...] = ()


@dataclass
class SyntheticCollection:
    """Queries, documents and who answers whom.

    Attributes:
        queries: those with a document at least.
        documents: text by id; equal texts (white space aside) are one document.
        provenance: by document, of every answer it stands for: query, model, sample, licences.
        relevant: by query id, the ids of its documents.
        rejections: answers that could not be used, and queries without any.
        duplicates: answers that another one equals.
    """

    queries: list[Seed] = field(default_factory=list)
    documents: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    relevant: dict[str, list[str]] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    duplicates: int = 0


def synthesise_documents(query: Seed, settings: SynthSettings, samples: int = 1) -> RoleProgram[QueryAnswers]:
    """The writer's answers to one query, as a program.

    An answer that is empty, a refusal or cut off is asked for again, `settings.attempts` times in all.

    Args:
        query: what is answered.
        settings: who writes.
        samples: independent answers, asked for at the same time.
    """
    results = yield from together([_answer(query, settings, sample) for sample in range(samples)])
    answers = tuple(result for result in results if isinstance(result, SyntheticAnswer))
    return QueryAnswers(query, answers, tuple(result for result in results if isinstance(result, Rejection)))


def collect(answered: Iterable[QueryAnswers]) -> SyntheticCollection:
    """Put answers together to a collection.

    Equal answers are one document, which is relevant for every query it answers. A document's id comes
    from its text.
    """
    collection = SyntheticCollection()
    for of_query in answered:
        collection.rejections += of_query.rejections
        if not of_query.answers:
            continue
        collection.queries.append(of_query.query)
        relevant = collection.relevant.setdefault(of_query.query.id, [])
        for answer in of_query.answers:
            identifier = _identifier(answer.text)
            collection.duplicates += identifier in collection.documents
            collection.documents.setdefault(identifier, answer.text)
            collection.provenance.setdefault(identifier, []).append(
                {
                    "query_id": answer.query_id,
                    "model": answer.model,
                    "sample": answer.sample,
                    "sources": [[source.name, source.licence] for source in answer.sources],
                }
            )
            if identifier not in relevant:
                relevant.append(identifier)
    return collection


def negatives(
    collection: SyntheticCollection, count: int, how: Negatives = "random", seed: int = 0, depth: int = 100
) -> dict[str, list[str]]:
    """For each query, documents that answer other queries, never one of its own.

    Args:
        collection: queries and documents.
        count: for each query; fewer where the collection has no more.
        how: `"random"`, or `"bm25"`: the best-ranked ones for the query, filled up at random.
        seed: of the draw; a query's draw depends on it and the query's id alone.
        depth: how far down BM25 is read.

    Raises:
        InputError: `count` is negative, or `how` is neither.
    """
    if count < 0 or how not in ("random", "bm25"):
        raise InputError(
            f"negatives: count must be >= 0 and how 'random' or 'bm25', but got {count}, {how!r}"
        )
    ids = sorted(collection.documents)
    ranked: dict[str, list[str]] = {}
    if how == "bm25" and ids and count:
        index = build_retriever("bm25s", [Document(collection.documents[i], id=i) for i in ids])
        rankings = index.search_many([query.text for query in collection.queries], k=depth)
        ranked = {
            query.id: [str(hit.id) for hit in hits]
            for query, hits in zip(collection.queries, rankings, strict=True)
        }
    # Queries with one text have one set of answers: none of them is a negative of the others.
    answers: dict[str, set[str]] = {}
    for query in collection.queries:
        answers.setdefault(_same(query.text), set()).update(collection.relevant[query.id])
    drawn = {}
    for query in collection.queries:
        own = answers[_same(query.text)]
        chosen = [i for i in ranked.get(query.id, []) if i not in own][:count]
        rng = seeded(json.dumps([seed, query.id]))
        drawn[query.id] = [*chosen, *_drawn(ids, own.union(chosen), count - len(chosen), rng)]
    return drawn


def split(queries: Sequence[Seed], shares: Mapping[str, float] = SPLITS, seed: int = 0) -> dict[str, str]:
    """To which split each query belongs, by id; queries with one text are never apart.

    The sizes are the shares' largest remainders over the different texts.
    """
    texts = sorted({_same(query.text) for query in queries}, key=lambda text: _digest(seed, text))
    names = [name for name, size in largest_remainder(len(texts), shares).items() for _ in range(size)]
    place = dict(zip(texts, names, strict=True))
    return {query.id: place[_same(query.text)] for query in queries}


def _drawn(ids: Sequence[str], taken: set[str], count: int, rng: random.Random) -> list[str]:
    """So many ids that are not taken, or all of them; the list of the others is collection only for a few."""
    free = len(ids) - len(taken)
    if free <= 2 * count + len(taken):
        others = [i for i in ids if i not in taken]
        return rng.sample(others, min(count, len(others)))
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        identifier = ids[rng.randrange(len(ids))]
        if identifier not in taken:
            drawn[identifier] = None
    return list(drawn)


def _answer(query: Seed, settings: SynthSettings, sample: int) -> RoleProgram[SyntheticAnswer | Rejection]:
    model = settings.role("writer").model

    def ask(attempt: int) -> RoleRequest:
        messages = chat_template("answer").render(
            query=query.text, least=_WORDS[0], most=_WORDS[1], attempt=attempt
        )
        return RoleRequest("writer", messages, attempt, sample)

    def read(reply: Generated) -> str:
        text = split_reasoning(plain_text(reply))[1].strip()
        if _same(text) == _same(query.text):
            raise UnusableReply("the answer is the query")
        return text

    try:
        text = yield from insist(ask, read, settings.attempts)
    except StageError as rejected:
        return Rejection(
            "answers", f"{query.id}/{sample}", str(rejected), query.text, is_failure=rejected.is_failure
        )
    sources = (query.source, Source(f"model {model}", "terms of the model's provider"))
    return SyntheticAnswer(query.id, text, sample, model, sources)


def _same(text: str) -> str:
    return " ".join(text.split()).casefold()


def _identifier(text: str) -> str:
    return f"d{hashlib.sha256(' '.join(text.split()).encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _digest(seed: int, text: str) -> bytes:
    return hashlib.sha256(json.dumps([seed, text]).encode("ascii")).digest()
