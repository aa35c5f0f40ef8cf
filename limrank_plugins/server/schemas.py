"""What a request and an answer hold: the shape of Cohere and Jina, and what a reranker says beyond it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from limrank_plugins.data import ScoreKind
from limrank_plugins.segments import clean_text
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.refusals import Refusal
from limrank_plugins.wording import number_of

M = TypeVar("M", bound=BaseModel)
_MOST_FIELDS = 64


def _whole(value: Any) -> Any:
    """3.0 is a whole number in JSON, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Natural = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
# Said in the description only: it is checked elsewhere, with a better message.
NOT_BLANK: dict[str, Any] = {"pattern": r"[^\s\x1c-\x1f\x85]"}


def _text_or_object(entry: Any, validated: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(entry, (str, dict)):
        raise PydanticCustomError("text_or_object", "Input should be a text or an object")
    return validated(entry)


TEXT_OR_OBJECT = WrapValidator(_text_or_object)
_KINDS = ("str", "int", "DocumentObject", "RankedObject")  # how pydantic names what was tried


class DocumentObject(BaseModel):
    """A document as an object. Its other fields are neither read nor returned."""

    model_config = ConfigDict(strict=True)

    text: str = Field(description="The passage.")


class RerankRequest(BaseModel):
    """What is to be ranked, and how. A field that is not listed here is refused, unless it is null."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = Field(None, description="A name that GET /v1/models lists; default: the first one.")
    query: str = Field(
        description="What is searched for; not blank.", min_length=1, json_schema_extra=NOT_BLANK
    )
    documents: Annotated[list[Annotated[str | DocumentObject, TEXT_OR_OBJECT]], FailFast()] = Field(
        description="The candidates in first-stage order, which breaks ties.", min_length=1
    )
    top_n: Natural | None = Field(None, description="How many results to return; default: all.")
    return_documents: bool | None = Field(None, description="Return each result's text; default: no.")
    max_tokens_per_doc: Natural | None = Field(
        None,
        description="Tokens of a document that are read at most; refused where they cannot be counted.",
    )
    stream: bool | None = Field(
        None, description="Server-sent events: progress, each judged document as it comes, then the answer."
    )
    priority: Whole | None = Field(None, description="Of Cohere's clients; it is not used.")
    user: str | None = Field(None, description="Of other servers' clients; it is not used.")

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [entry if isinstance(entry, str) else entry.text for entry in self.documents]


class ReturnedDocument(BaseModel):
    """A document of the request."""

    text: str


class Result(BaseModel):
    """One judged document."""

    index: int = Field(description="Its position in the request, from 0.")
    relevance_score: float = Field(description="Higher is better; `score_kind` says what it is.")
    score_kind: ScoreKind = Field(
        description="What the score is. `rank`: it is derived from the place in the ranking, from 1 down "
        "to above 0, as the recipe gives no scores that mean the same for another query."
    )
    document: ReturnedDocument | None = Field(None, description="With `return_documents`.")
    reasoning: str | None = Field(
        None, description="What the model wrote before its answer, if it wrote any."
    )


class FailedDocument(BaseModel):
    """A document that could not be judged. It has no score and is no result."""

    index: int = Field(description="Its position in the request, from 0.")
    reason: str = Field(description="Why it could not be judged.")
    document: ReturnedDocument | None = Field(None, description="With `return_documents`.")


class RequestUsage(BaseModel):
    """Tokens, as Jina and OpenAI name them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ApiVersion(BaseModel):
    """The version of Cohere's API whose shape this is."""

    version: str


class BilledUnits(BaseModel):
    """What Cohere would bill."""

    search_units: float = Field(description="One for a query with up to 100 documents.")


class TokenCounts(BaseModel):
    """Tokens, as Cohere names them."""

    input_tokens: int
    output_tokens: int


class Meta(BaseModel):
    """What Cohere's answers hold beside the results."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: TokenCounts
    warnings: list[str] | None = Field(None, description="What was not read or judged, in sentences.")


class RerankAnswer(BaseModel):
    """The ranking."""

    id: str = Field(description="Of this answer; random.")
    model: str = Field(description="The name of the reranker that was asked.")
    results: list[Result] = Field(description="The judged documents, best first.")
    failed: list[FailedDocument] = Field(
        description="The documents that could not be judged, in the request's order, whatever `top_n` is."
    )
    usage: RequestUsage
    meta: Meta


class ServedModel(BaseModel):
    """A reranker that can be named in `model`."""

    id: str
    object: str = "model"
    owned_by: str = "limrank"
    recipe: str
    score_kind: ScoreKind


class ModelList(BaseModel):
    """All of them, the default first."""

    object: str = "list"
    data: list[ServedModel]


class Detail(BaseModel):
    """Why a request was not answered as it was asked."""

    detail: str


def read_request(body: bytes, limits: Limits) -> RerankRequest:
    """The request in a body.

    Raises:
        Refusal: 422 for what is no JSON or not of this shape, 413 for more than is accepted.
    """
    value = read_object(body)
    check_counts(value, limits)
    if b"\\u" in body:  # no other way to write half a character leads through UTF-8
        value = without_halves(value)
    asked = read_as(RerankRequest, value)
    check_query(asked.query, limits)
    check_texts(asked.texts, limits)
    return asked


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Refusal: 422, it is none.
    """
    value = _parsed(body)
    if not isinstance(value, dict):
        raise Refusal(422, 'the body must be a JSON object: {"query": …, …}')
    _check_fields(value)
    return value


def check_counts(value: Mapping[str, Any], limits: Limits) -> None:
    """Raise a `Refusal` for more fields (422) or documents (413) than are accepted.

    Before any check that would write a line for each of a million entries.
    """
    _check_fields(value)
    documents = value.get("documents")
    if isinstance(documents, list) and len(documents) > limits.documents:
        raise Refusal(
            413,
            f"documents are too many: at most {limits.documents:,} are accepted, but got {len(documents):,}",
        )


def _check_fields(value: Mapping[str, Any]) -> None:
    if len(value) > _MOST_FIELDS:
        raise Refusal(422, f"the body has {number_of(len(value), 'field')}, of which no request has so many")


def read_as(shape: type[M], value: Mapping[str, Any]) -> M:
    """The object as a request of this shape; a field that is null counts as absent.

    Raises:
        Refusal: 422, it is not of this shape.
    """
    try:
        return shape.model_validate({k: v for k, v in value.items() if v is not None})
    except ValidationError as error:
        problem = Refusal(422, _told(error))
    raise problem


def check_query(query: str, limits: Limits) -> None:
    """Raise a `Refusal` for a query that is blank (422) or too long (413)."""
    if not query.strip():
        raise Refusal(422, "query is empty: give at least one word")
    if len(query) > limits.query_characters:
        raise Refusal(413, _too_long("query", len(query), limits.query_characters))


def _parsed(body: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as error:
        why = str(error)
    raise Refusal(422, f"the body is not JSON: {why}")


def without_halves(value: dict[str, Any]) -> dict[str, Any]:
    """Texts that were cut within a character, as programs cut emojis, hold U+FFFD there."""

    def clean(text: Any) -> Any:
        return clean_text(text) if isinstance(text, str) else text

    def clean_document(entry: Any) -> Any:
        return {k: clean(v) for k, v in entry.items()} if isinstance(entry, dict) else clean(entry)

    documents = value.get("documents")
    if isinstance(documents, list):
        value = value | {"documents": [clean_document(entry) for entry in documents]}
    return value | {"query": clean(value["query"])} if "query" in value else value


def _told(error: ValidationError) -> str:
    """What is wrong, without the values, which may be long or private."""
    wrong = [
        (_place(entry["loc"]), entry["msg"]) for entry in error.errors(include_input=False, include_url=False)
    ]
    # Of an object with a wrong field it is no news that it is no text.
    said = [
        f"{place}: {message}"
        for place, message in wrong
        if not any(other.startswith(f"{place}.") for other, _ in wrong)
    ]
    more = f"; and {len(said) - 4:,} more" if len(said) > 4 else ""
    return "; ".join(said[:4]) + more


def _place(location: Sequence[int | str]) -> str:
    parts = [*location[:1], *(part for part in location[1:] if part not in _KINDS)]
    return ".".join(str(part)[:80] for part in parts) or "the body"


def check_texts(texts: Sequence[str], limits: Limits) -> None:
    """Raise a `Refusal` (413) for documents that are too long, alone or together."""
    lengths = [len(text) for text in texts]
    for position, length in enumerate(lengths):
        if length > limits.document_characters:
            raise Refusal(413, _too_long(f"documents.{position}", length, limits.document_characters))
    if sum(lengths) > limits.characters:
        raise Refusal(413, _too_long("documents together", sum(lengths), limits.characters))


def _too_long(what: str, length: int, most: int) -> str:
    verb = "are" if what.endswith("together") else "is"
    return f"{what} {verb} too long: at most {most:,} characters are accepted, but got {length:,}"
