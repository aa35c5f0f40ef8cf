"""What `LimRankRanker` does besides being a component: loading, checking, answering, failing."""

import asyncio
import math
import threading
from collections.abc import Sequence
from typing import Any

from haystack import Document, logging
from haystack.utils import ComponentDevice, Secret
from haystack_integrations.components.rankers.limrank import _documents as docs
from haystack_integrations.components.rankers.limrank._backend import backend_options
from haystack_integrations.components.rankers.limrank._keys import hide, without_keys

from limrank_plugins import Document as Candidate
from limrank_plugins import Failure, Ranking, Recipe, Reranker, Store, load_recipe
from limrank_plugins.errors import CapabilityError, InputError, LimRankError, MissingExtra

logger = logging.getLogger(__name__)

_AS_IN_RERANKER = (
    "reasoning",
    "budget",
    "samples",
    "seed",
    "temperature",
    "top_p",
    "max_reasoning_tokens",
    "cut_to_sentence",
    "instruction",
    "template",
)


class RankerCore:
    """Holds the model. The settings are attributes of the component, read at every call."""

    recipe: str
    model: str | None
    backend: str | None
    device: ComponentDevice | None
    token: Secret | None
    api_key: Secret | None
    api_base_url: str | None
    top_k: int
    score_threshold: float | None
    meta_fields_to_embed: list[str] | None
    embedding_separator: str
    explanation_meta_field: str | None
    cache_path: str | None
    model_kwargs: dict[str, Any] | None
    raise_on_failure: bool

    def __init__(self, recipe: str) -> None:
        self._recipe: Recipe = load_recipe(recipe)
        self._reranker: Reranker | None = None
        self._loading = threading.Lock()

    def warm_up(self) -> None:
        """Load the model, if it is not loaded yet."""
        self._loaded()

    async def warm_up_async(self) -> None:
        """Load the model, if it is not loaded yet, without blocking the event loop."""
        await self._loaded_async()

    def close(self) -> None:
        """Release the model. The next `run` loads it again."""
        with self._loading:
            reranker, self._reranker = self._reranker, None
        if reranker is not None:
            reranker.close()
            if reranker.store is not None:
                reranker.store.close()

    async def close_async(self) -> None:
        """Release the model without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def _loaded(self) -> Reranker:
        with self._loading:
            if self._reranker is not None:
                return self._reranker
            try:
                self._reranker = self._made()
            except Exception as error:  # noqa: BLE001 - raised below
                problem = without_keys(error, self.token, self.api_key)
            else:
                return self._reranker
        raise problem

    async def _loaded_async(self) -> Reranker:
        loaded = self._reranker
        return loaded if loaded is not None else await asyncio.to_thread(self._loaded)

    def _made(self) -> Reranker:
        backend = self.backend if self.backend is not None else self._recipe.backend
        options = backend_options(
            backend,
            device=self.device,
            token=self.token,
            api_key=self.api_key,
            api_base_url=self.api_base_url,
            model_kwargs=self.model_kwargs,
        )
        settings = {name: getattr(self, name) for name in _AS_IN_RERANKER}
        return Reranker(
            self._recipe,
            self.model,
            backend,
            on_failure="raise" if self.raise_on_failure else "mark",
            store=Store(self.cache_path) if self.cache_path is not None else None,
            **settings,
            **options,
        )

    def _job(
        self, query: str, documents: Sequence[Document], top_k: int | None, score_threshold: float | None
    ) -> docs.Job:
        return docs.Job(
            query,
            docs.deduplicated(documents),
            self.top_k if top_k is None else checked_top_k(top_k),
            self.score_threshold if score_threshold is None else self.checked_threshold(score_threshold),
        )

    def _candidates(self, job: docs.Job) -> list[Candidate]:
        fields = self.meta_fields_to_embed if self.meta_fields_to_embed is not None else []
        return docs.candidates(job.documents, fields, self.embedding_separator)

    def _settled(self, job: docs.Job) -> dict[str, Any] | None:
        """The answer where no model is asked: no documents, or a query without a word."""
        blank = isinstance(job.query, str) and not job.query.strip()
        if not job.documents or not blank:
            return None if job.documents else self._unjudged(job, "")
        if self.raise_on_failure:
            raise InputError(f"the query is empty: got {job.query!r}")
        return self._unjudged(job, f"the query is empty: got {job.query!r}")

    def _failed(self, job: docs.Job, error: Exception) -> dict[str, Any]:
        error = without_keys(error, self.token, self.api_key)
        if self.raise_on_failure or isinstance(error, InputError | CapabilityError | MissingExtra):
            raise error
        name = "" if isinstance(error, LimRankError) else f"{type(error).__name__}: "
        return self._unjudged(job, f"{name}{error}")

    def _unjudged(self, job: docs.Job, reason: str) -> dict[str, Any]:
        if job.documents:
            logger.warning("LimRankRanker could not judge any document: {reason}", reason=reason)
        failures = [Failure(document.id, reason) for document in job.documents]
        return {"documents": docs.unjudged(job), "meta": self._report(job, None, failures)}

    def _judged(self, job: docs.Job, ranking: Ranking) -> dict[str, Any]:
        failures = [Failure(f.id, hide(f.reason, self.token, self.api_key)) for f in ranking.failures]
        if failures:
            logger.warning(
                "LimRankRanker could not judge {failed} of {total} documents; the first: {reason}",
                failed=len(failures),
                total=len(job.documents),
                reason=failures[0].reason,
            )
        documents = docs.ranked(job, ranking, self.explanation_meta_field)
        return {"documents": documents, "meta": self._report(job, ranking, failures)}

    def _report(self, job: docs.Job, ranking: Ranking | None, failures: Sequence[Failure]) -> dict[str, Any]:
        return docs.report(
            job,
            ranking,
            failures,
            recipe=self.recipe,
            model=self.model if self.model is not None else self._recipe.model,
            score_kind=self._recipe.score_kind,
        )

    def checked_threshold(self, threshold: float | None) -> float | None:
        """The threshold, or a `ValueError` if it cannot be meant."""
        if threshold is None:
            return None
        if not math.isfinite(threshold):
            raise ValueError(f"score_threshold must be a finite number, but got {threshold}")
        if not self._recipe.comparable:
            raise ValueError(
                f"score_threshold={threshold} has no meaning here: scores of recipe {self.recipe!r} are not "
                f"comparable between queries; use top_k, or a recipe with comparable scores such as 'limrank'"
            )
        return threshold


def checked_top_k(top_k: int) -> int:
    """The number, or a `ValueError` if it is not positive."""
    if top_k <= 0:
        raise ValueError(f"top_k must be > 0, but got {top_k}")
    return top_k
