"""What a span says: attributes in OpenInference's convention, and which texts are not to be seen.

Names: the page "Semantic Conventions" of OpenInference; ours begin with `limrank.`. What its variables
`OPENINFERENCE_HIDE_INPUTS` and `OPENINFERENCE_HIDE_OUTPUTS` hide is replaced by `__REDACTED__`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limrank_plugins.backends.protocols import (
    Attend,
    Backend,
    Classify,
    Encode,
    Forget,
    Generated,
    KnowsModel,
    Likelihood,
    Reply,
    Request,
    ScorePair,
)
from limrank_plugins.data import Document, Query, Ranking, Usage
from limrank_plugins.reply_store import To
from limrank_plugins.segments import Prompt

HIDDEN = "__REDACTED__"
_YES = ("1", "true", "yes", "on")
Attributes = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Hides:
    """What is not to be seen: texts that went in, texts that came out."""

    inputs: bool
    outputs: bool

    @classmethod
    def from_environment(cls) -> Hides:
        """As OpenInference's variables say."""
        return cls(*(any(map(_is_set, _names(side))) for side in ("INPUT", "OUTPUT")))


def _names(side: str) -> list[str]:
    return [f"OPENINFERENCE_HIDE_{side}{what}" for what in ("S", "_MESSAGES", "_TEXT")]


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in _YES


def model_name(backend: Backend) -> str:
    """What the model of a backend is called."""
    named = getattr(backend, "model", None)
    if isinstance(named, str) and named:
        return named
    if isinstance(backend, KnowsModel) and backend.facts.names:
        return str(backend.facts.names[0])
    return backend.name


def ranking_attributes(
    model: str,
    recipe: str,
    query: Query,
    documents: Sequence[Document],
    top_n: int | None,
    hides: Hides,
) -> Attributes:
    """Of a query that is ranked, before it is; without its documents."""
    return {
        "openinference.span.kind": "RERANKER",
        "reranker.query": HIDDEN if hides.inputs else query.text,
        "reranker.model_name": model,
        "reranker.top_k": len(documents) if top_n is None else top_n,
        "limrank.recipe": recipe,
    }


def input_documents(documents: Sequence[Document], hides: Hides) -> list[Attributes]:
    """Of each document that is ranked."""
    return [
        _document(f"reranker.input_documents.{i}.document", document, document.prior, hidden=hides.inputs)
        for i, document in enumerate(documents)
    ]


def output_documents(ranking: Ranking, hides: Hides) -> list[Attributes]:
    """Of each hit, best first."""
    hidden = hides.inputs or hides.outputs  # what comes out is what went in
    hits = []
    for i, hit in enumerate(ranking):
        place = f"reranker.output_documents.{i}.document"
        hits.append(_document(place, hit.document, hit.score, hidden=hidden))
        if hit.failure is not None:
            hits[-1][f"{place}.metadata"] = json.dumps({"failure": HIDDEN if hidden else hit.failure})
    return hits


def as_many_as_fit(documents: Sequence[Attributes], room: int | None) -> Attributes:
    """The attributes of the first documents that fit as a whole, and how many documents were left out.

    Args:
        documents: each one's attributes, the most important one first.
        room: how many attributes there may be; None for any number.
    """
    if room is None or sum(map(len, documents)) <= room:
        return {name: value for document in documents for name, value in document.items()}
    kept: Attributes = {}
    for i, document in enumerate(documents):
        if len(kept) + len(document) >= room:  # one is kept for the number
            return kept | ({"limrank.documents_left_out": len(documents) - i} if room > 0 else {})
        kept |= document
    return kept


def _document(place: str, document: Document, score: float | None, *, hidden: bool) -> Attributes:
    attributes: Attributes = {
        f"{place}.id": document.id or "",
        f"{place}.content": HIDDEN if hidden else document.passage,
    }
    return attributes if score is None else attributes | {f"{place}.score": float(score)}


def outcome_attributes(ranking: Ranking) -> Attributes:
    """Of a query that was ranked; without its documents."""
    usage = ranking.usage
    attributes: Attributes = {
        "limrank.score_kind": ranking.score_kind,
        "limrank.calls": usage.calls,
        "limrank.replies_from_store": usage.cached,
        "limrank.failures": len(ranking.failures),
    }
    if ranking.cost is not None:
        attributes["limrank.cost"] = ranking.cost
    return attributes


def call_attributes(request: To, reply: Reply, hides: Hides) -> Attributes:
    """Of a request that a backend answered."""
    kind = "EMBEDDING" if isinstance(request.request, Encode) else "LLM"
    attributes: Attributes = {
        "openinference.span.kind": kind,
        "embedding.model_name" if kind == "EMBEDDING" else "llm.model_name": model_name(request.backend),
        "input.value": HIDDEN if hides.inputs else _text(request.request, hides),
        "input.mime_type": "text/plain",
        **_token_counts(reply.usage),
    }
    if isinstance(reply, Generated):
        written = f"{reply.reasoning}\n{reply.text}" if reply.reasoning else reply.text
        attributes |= {
            "output.value": HIDDEN if hides.outputs else written,
            "output.mime_type": "text/plain",
        }
    return attributes


def _token_counts(usage: Usage) -> Mapping[str, int | float]:
    counts: dict[str, int | float] = {}
    if usage.prompt_tokens or usage.generated_tokens:  # not every backend counts
        counts = {
            "llm.token_count.prompt": usage.prompt_tokens,
            "llm.token_count.completion": usage.generated_tokens,
            "llm.token_count.total": usage.prompt_tokens + usage.generated_tokens,
            "llm.token_count.prompt_details.cache_read": usage.shared_tokens,
        }
    return counts | ({"llm.cost.total": usage.cost} if usage.priced else {})


def _text(request: Request, hides: Hides) -> str:
    """What a model is shown, as text; images are not, nor what it wrote before where outputs are hidden."""
    if isinstance(request, Encode | Classify):
        return request.text
    if isinstance(request, ScorePair):
        return f"{request.query}\n{request.passage}"
    if isinstance(request, Likelihood):
        return _shown(request.prompt, hides) + request.continuation
    if isinstance(request, Attend):
        return "\n".join(_shown(prompt, hides) for prompt in request.prompts)
    return "" if isinstance(request, Forget) else _shown(request.prompt, hides)


def _shown(prompt: Prompt, hides: Hides) -> str:
    return "".join(HIDDEN if hides.outputs and s.written else s.text for s in prompt.segments)
