"""What the servers of rerankers take and give: one request shape, and where each differs from it.

A request holds a query and documents; the answer names each document by its place in the request and gives it
a score. Read from the servers' sources, the providers' SDKs and their documentation in November 2026;
`docs/served-models.md` says what was exercised. All of them take the key as a bearer token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_plugins.backends.remote.addresses import Address
from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.replies import amount_of, check_no_error, count_of, part_of, show_value
from limrank_plugins.backends.remote.services import Service, find_service
from limrank_plugins.checks import is_finite
from limrank_plugins.data import Usage

KEY = "RERANK_API_KEY"
"""The environment variable with the key of a server that is no service of the table."""
_DEFAULT = "cohere"


@dataclass(frozen=True, slots=True)
class Dialect(Service):
    """One kind of server.

    Attributes:
        documents: the field that holds the documents.
        top: the field that says how many results to return; empty where all of them always are.
        names_model: the request says which model.
        most: documents in one call at most; None where no limit is known.
        fields: sent with every request.
    """

    path: str = "rerank"
    documents: str = "documents"
    top: str = "top_n"
    names_model: bool = True
    most: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def request(self, model: str, query: str, passages: Sequence[str]) -> dict[str, Any]:
        """The body that asks for the scores of all of these passages."""
        named = {"model": model} if self.names_model else {}
        top = {self.top: len(passages)} if self.top else {}
        return {**named, "query": query, self.documents: list(passages), **top, **self.fields}


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("cohere", "https://api.cohere.com/v2", ("CO_API_KEY", "COHERE_API_KEY"), most=1000),
        Dialect("jina", "https://api.jina.ai/v1", ("JINA_API_KEY",), fields={"return_documents": False}),
        Dialect("voyage", "https://api.voyageai.com/v1", ("VOYAGE_API_KEY",), top="top_k", most=1000),
        Dialect(
            "mixedbread", "https://api.mixedbread.com/v1", ("MXBAI_API_KEY",),
            path="reranking", documents="input", top="top_k", fields={"return_input": False},
        ),
        Dialect("tei", documents="texts", top="", names_model=False, most=32),
        Dialect("vllm"),
        Dialect("sglang", fields={"return_documents": False}),
        Dialect("infinity", most=2048),
        Dialect("llama-server"),
        Dialect("xinference"),
        Dialect("litellm"),
    )
}  # fmt: skip


def find_server(base_url: str | None, dialect: str) -> tuple[Address, Dialect]:
    """The server's address and its dialect, as `find_service` finds them: by default Cohere's and Jina's."""
    return find_service(
        base_url, dialect, DIALECTS, variable="RERANK_BASE_URL", hosted=_DEFAULT, other=_DEFAULT
    )


# ---- answers ------------------------------------------------------------------------------------


def scores_in(body: Any, passages: Sequence[str]) -> list[float | str]:
    """Each document's score by its place in the request, or why it has none.

    Results come best first, so that each is put where its `index` says. An index that is no place of the
    request, that comes twice, or that comes with the text of another document, makes the others doubtful too
    (a server may count from 1, or sort what it was sent): nothing is believed then.

    Args:
        body: the answer: a list of results, or an object that holds it as `results` or `data`.
        passages: of the request, as they were sent.

    Raises:
        CallFailed: there are no results, or they do not say which document each is of.
    """
    results, count, sent = results_in(body), len(passages), set(passages)
    scores: dict[int, float | str] = {}
    for result in results:
        index = result.get("index")
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
            raise CallFailed(
                f"the server gives a score to document {show_value(index)} of {count}, which are counted "
                f"from 0: its scores cannot be told apart",
                200,
            )
        if index in scores:
            raise CallFailed(
                f"the server gives document {index} of {count} two scores: they cannot be told apart", 200
            )
        document = result.get("document")
        text = document.get("text") if isinstance(document, dict) else document
        # A text that was not sent may be one that the server cut or cleaned.
        if isinstance(text, str) and text != passages[index] and text in sent:
            raise CallFailed(
                f"the server gives document {index} of {count} the text of another one: its scores cannot be "
                f"told apart",
                200,
            )
        score = result.get("relevance_score", result.get("score"))
        if isinstance(score, int | float) and not isinstance(score, bool) and is_finite(score):
            scores[index] = float(score)
        else:
            scores[index] = f"the server's score is {show_value(score)}"
    return [scores.get(i, f"the server gives no score for document {i} of {count}") for i in range(count)]


def results_in(body: Any) -> list[dict[str, Any]]:
    """The results of an answer.

    Raises:
        CallFailed: there are none, or the server writes that it failed.
    """
    check_no_error(body)
    results = body
    if isinstance(body, dict):
        results = body["results"] if isinstance(body.get("results"), list) else body.get("data")
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise CallFailed(f"the server's reply holds no list of results but: {show_value(body)}", 200)
    return results


def charged_in(body: Any, headers: Mapping[str, str]) -> Usage:
    """Tokens and search units as the server counted them; 0 where it does not say."""
    usage, meta = part_of(body, "usage"), part_of(body, "meta")
    billed, tokens = part_of(meta, "billed_units"), part_of(meta, "tokens")
    counts = [
        *(usage.get("total_tokens"), usage.get("prompt_tokens")),
        *(tokens.get("input_tokens"), billed.get("input_tokens"), billed.get("total_tokens")),
        headers.get("x-compute-tokens"),
    ]
    read = next((n for n in map(count_of, counts) if n), 0)
    if not read and isinstance(body, list):  # SGLang counts by document
        read = sum(count_of(part_of(result, "meta_info").get("prompt_tokens")) for result in body)
    return Usage(
        prompt_tokens=read,
        shared_tokens=min(count_of(meta.get("cached_tokens")), read),
        searches=amount_of(billed.get("search_units")) or 0.0,
    )


def warnings_in(body: Any) -> list[str]:
    """What the server says went otherwise than asked, such as a document that it cut."""
    warnings = part_of(body, "meta").get("warnings")
    return [text for text in warnings if isinstance(text, str)] if isinstance(warnings, list) else []
