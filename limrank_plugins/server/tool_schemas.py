"""What the tools of the MCP server take and give back."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from limrank_plugins.data import ScoreKind
from limrank_plugins.server.schemas import TEXT_OR_OBJECT, FailedDocument, Natural, Result

_REASONING = "What the model wrote before its answer, if it wrote any."


class RankedObject(BaseModel):
    """A passage, a memory or a tool. Its other fields are neither read nor returned."""

    model_config = ConfigDict(strict=True)

    id: str | int | None = Field(None, description="Comes back with the result; it is not read by the model.")
    name: str | None = Field(None, description="Of a tool; it is read, and comes back with the result.")
    title: str | None = Field(None, description="Of a passage; it is read.")
    text: str | None = Field(None, description="The passage or the memory.")
    description: str | None = Field(None, description="What a tool does.")

    @property
    def passage(self) -> str:
        """What a model reads of it."""
        parts = (self.name, self.title, self.description, self.text)
        return "\n".join(part for part in parts if part and part.strip())


class RerankCall(BaseModel):
    """The arguments of `rerank`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(description="What is looked for; for tools, the task.", min_length=1)
    documents: Annotated[list[Annotated[str | RankedObject, TEXT_OR_OBJECT]], FailFast()] = Field(
        description="Texts, or objects with text, or with name and description; best guess first, if any.",
        min_length=1,
    )
    top_n: Natural | None = Field(None, description="How many results to return; default: all.")
    return_documents: bool | None = Field(None, description="Return each result's text; default: no.")
    model: str | None = Field(None, description="Which reranker; default: the first one.")


class SearchCall(BaseModel):
    """The arguments of `search`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(description="What is looked for, in words.", min_length=1)
    corpus: str | None = Field(None, description="Where to look; default: the first one.")
    top_n: Natural = Field(10, le=100, description="How many passages to return.")
    max_characters: Natural = Field(2_000, description="Characters of each passage that are returned.")
    model: str | None = Field(None, description="Which reranker; default: the first one.")


class RankedResult(Result):
    """One judged document, best first."""

    id: str | int | None = Field(None, description="As in the call.")
    name: str | None = Field(None, description="As in the call.")


class FailedResult(FailedDocument):
    """A document that could not be judged. It has no score and is no result."""

    id: str | int | None = Field(None, description="As in the call.")
    name: str | None = Field(None, description="As in the call.")


class RerankResult(BaseModel):
    """What `rerank` gives back."""

    model: str = Field(description="The reranker that was asked.")
    results: list[RankedResult] = Field(description="The judged documents, best first.")
    failed: list[FailedResult] = Field(description="Those that could not be judged; they have no score.")
    warnings: list[str] = Field(description="What was not read or judged, in sentences.")


class FoundPassage(BaseModel):
    """One passage of a corpus, best first."""

    rank: int = Field(description="1 is best.")
    first_stage_rank: int = Field(description="Where the first stage had it.")
    id: str = Field(description="Of the document, in its corpus.")
    title: str | None = None
    text: str = Field(description="Its text, or its beginning.")
    is_cut: bool = Field(description="Whether there is more of it.")
    relevance_score: float = Field(description="Higher is better; `score_kind` says what it is.")
    score_kind: ScoreKind
    reasoning: str | None = Field(None, description=_REASONING)


class UnjudgedPassage(BaseModel):
    """A passage that was found and could not be judged."""

    first_stage_rank: int
    id: str
    title: str | None = None
    reason: str = Field(description="Why it could not be judged.")


class SearchResult(BaseModel):
    """What `search` gives back."""

    corpus: str
    model: str = Field(description="The reranker that was asked.")
    candidates: int = Field(description="How many passages the first stage found and the reranker read.")
    results: list[FoundPassage] = Field(description="The passages, best first.")
    failed: list[UnjudgedPassage] = Field(description="Those that could not be judged.")
    warnings: list[str] = Field(description="What was not read or judged, in sentences.")
