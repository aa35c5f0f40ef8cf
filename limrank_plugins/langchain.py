"""`LimRankCompressor`: the reranker as a LangChain document compressor.

Example:
    >>> from limrank_plugins.langchain import LimRankCompressor
    >>> compressor = LimRankCompressor(top_n=5)
    >>> compressor.compress_documents(retriever.invoke(question), question)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Self

from limrank_plugins import data
from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.failure_log import told_by_caller
from limrank_plugins.lazy import Lazy
from limrank_plugins.rankings import check_cut
from limrank_plugins.recipes import load_recipe
from limrank_plugins.reranker import Reranker
from limrank_plugins.secrecy import hiding, redacted

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
except ModuleNotFoundError as error:
    raise MissingExtra(
        f"LimRankCompressor needs {error.name}, which is not installed: pip install 'limrank[langchain]'"
    ) from error

logger = logging.getLogger(__name__)

_METADATA = ("relevance_score", "limrank_explanation", "limrank_failure")


class LimRankCompressor(BaseDocumentCompressor):
    """Reranks retrieved documents. Fields are fixed once made; the model is loaded at first use.

    Documents come back as copies; yours are not changed. `metadata["relevance_score"]` is
    the score (None for a document that could not be judged: it keeps its place, and
    `metadata["limrank_failure"]` says why), `metadata["limrank_explanation"]` the model's reasoning.

    Args:
        recipe: a recipe's name; default `"limrank"`.
        model: folder, hub name or GGUF file; default: the recipe's checkpoint.
        backend: name of the way to run the model; default: the recipe's.
        top_n: how many documents to keep; default None, all.
        threshold: keep documents with `score >= threshold`; default None.
        api_key: of a served model; never serialised, pickled or shown. Default: the backend's environment
            variable.
        options: all other arguments of `limrank_plugins.Reranker`: `reasoning`, `samples`, `device`,
            `base_url`, … No secrets: they are shown.
        reranker: a ready reranker instead of `recipe`, `model`, `backend`, `api_key` and `options`.

    Raises:
        ValueError: a value that cannot be used, or an argument that does not exist.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    recipe: str = "limrank"
    model: str | None = None
    backend: str | None = None
    top_n: int | None = Field(None, strict=True)
    threshold: float | None = Field(None, strict=True)
    api_key: SecretStr | None = Field(None, exclude=True, repr=False)
    options: dict[str, Any] = Field(default_factory=dict)
    reranker: Reranker | None = Field(None, exclude=True, repr=False)
    _lazy: Lazy[Reranker] = PrivateAttr(default_factory=Lazy)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_cut(self.top_n, self.threshold)
        if "api_key" in self.options:
            raise InputError("options: api_key must be given as an argument of its own")
        decided = sorted({"recipe", "model", "backend", "api_key", "options"} & self.model_fields_set)
        if self.reranker is None:
            load_recipe(self.recipe)
        elif decided:
            raise InputError(f"{', '.join(decided)}: the reranker that was passed has decided this already")
        return self

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rerank the documents of a query; `callbacks` is LangChain's and not used.

        Raises:
            ValueError: an empty query, or a threshold on scores that are not comparable.
        """
        if not documents:
            return []
        candidates = [data.Document(document.page_content) for document in documents]
        with hiding(self._secrets()), told_by_caller():
            ranking = self._ready().rank(query, candidates, top_n=self.top_n, threshold=self.threshold)
        return self._copies(documents, ranking)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """`compress_documents` for async code; a served model is asked natively, nothing blocks the loop."""
        if not documents:
            return []
        candidates = [data.Document(document.page_content) for document in documents]
        with hiding(self._secrets()), told_by_caller():
            reranker = await asyncio.to_thread(self._ready)
            ranking = await reranker.arank(query, candidates, top_n=self.top_n, threshold=self.threshold)
        return self._copies(documents, ranking)

    def _ready(self) -> Reranker:
        return self.reranker if self.reranker is not None else self._lazy.get(self._build)

    def _build(self) -> Reranker:
        options = dict(self.options)
        if self.api_key is not None:
            options["api_key"] = self.api_key.get_secret_value()
        return Reranker(self.recipe, self.model, self.backend, **options)

    def _secrets(self) -> list[str]:
        """What servers like to quote when they refuse it."""
        return [] if self.api_key is None else [self.api_key.get_secret_value()]

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"] = state["__dict__"] | {"api_key": None}
        return state

    def _copies(self, documents: Sequence[Document], ranking: data.Ranking) -> list[Document]:
        if ranking.failures:
            logger.warning(
                "%d of %d documents could not be judged and keep their places; the first one, %s: %s",
                len(ranking.failures),
                len(documents),
                ranking.failures[0].id,
                redacted(ranking.failures[0].reason, self._secrets()),
            )
        copies = []
        for hit in ranking:
            document = documents[hit.index]
            metadata = {key: value for key, value in document.metadata.items() if key not in _METADATA}
            metadata["relevance_score"] = hit.score
            if hit.explanation is not None:
                metadata["limrank_explanation"] = hit.explanation
            if hit.failure is not None:
                metadata["limrank_failure"] = redacted(hit.failure, self._secrets())
            copies.append(document.model_copy(update={"metadata": metadata}))
        return copies
