"""What a request and an answer hold: the shape of Cohere and Jina, and what a reranker says beyond it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from limrank_plugins.data import ScoreKind


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
