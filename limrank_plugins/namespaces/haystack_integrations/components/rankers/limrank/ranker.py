"""`LimRankRanker`: a reasoning reranker as a Haystack component."""

import asyncio
import inspect
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from haystack import Document, component, default_from_dict, default_to_dict, logging
from haystack.utils import ComponentDevice, Secret
from haystack_integrations.components.rankers.limrank import documents as docs
from haystack_integrations.components.rankers.limrank.model_arguments import (
    API_KEY,
    HUB_TOKEN,
    Copies,
    arguments_of,
    as_device,
    as_file,
    as_secret,
    backend_options,
    check_model_kwargs,
    key_of,
    serialised,
)

from limrank_plugins import Document as Candidate
from limrank_plugins import Failure, Ranking, Recipe, Reranker, Store, load_recipe
from limrank_plugins.arguments import check_made
from limrank_plugins.backends.remote.addresses import check_written
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import CapabilityError, InputError, LimRankError, MissingExtra
from limrank_plugins.failure_log import remarks, told_by_caller
from limrank_plugins.lazy import Lazy
from limrank_plugins.rankings import CutNames, check_threshold
from limrank_plugins.secrecy import hiding, redacted
from limrank_plugins.wording import number_of

logger = logging.getLogger(__name__)

# Arguments of `Reranker` that the component calls otherwise.
_RENAMED = {"on_failure": "raise_on_failure", "store": "cache_path"}


class _Inputs(NamedTuple):
    """What one call of `run` got: arguments checked, documents without duplicates."""

    query: str
    documents: list[Document]
    top_k: int
    threshold: float | None


@component
class LimRankRanker(Copies):
    """Ranks documents by P(relevant) as a language model judges it, with or without thinking first.

    The score is in [0, 1] and means the same for every query, so `score_threshold` can be used; where
    another `recipe` gives scores without that property, a threshold is a `ValueError`. The retriever's
    score breaks ties. Duplicates (one id) are asked about once: the one with the highest score stays.

    A document that could not be judged keeps its input position, with `score=None`; why is in
    `meta["failures"]`. The same holds for all of them if the model fails as a whole, or if the query is
    blank: then the first `top_k` documents come back in their input order. `raise_on_failure=True`
    raises instead. Arguments that cannot be used and missing packages are always raised.

    Example:
        ```python
        from haystack import Document
        from haystack_integrations.components.rankers.limrank import LimRankRanker

        ranker = LimRankRanker(recipe="mini", top_k=1)
        documents = [Document(content="Bread rises."), Document(content="Acid curdles milk.")]
        ranker.run(query="why does milk go lumpy in tea", documents=documents)["documents"]
        ```
    """

    def __init__(
        self,
        *,
        recipe: str = "limrank",
        model: str | None = None,
        backend: str | None = None,
        device: ComponentDevice | None = None,
        token: Secret | None = HUB_TOKEN,
        api_key: Secret | None = API_KEY,
        api_base_url: str | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        reasoning: str | None = None,
        budget: str | None = None,
        samples: int = 1,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float = 0.95,
        max_reasoning_tokens: int | None = None,
        cut_to_sentence: bool = True,
        instruction: str | None = None,
        template: str | None = None,
        chunks: str | None = None,
        calibration: str | None = None,
        trace: bool = False,
        explanation_meta_field: str | None = None,
        cache_path: str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        raise_on_failure: bool = False,
    ) -> None:
        """Nothing is loaded here; `warm_up` does that, and `run` calls it where needed.

        Args:
            recipe: the ranking method; `limrank recipes` lists them.
            model: folder, hub name or GGUF file, or the served model's name; default: the recipe's.
            backend: how the model is run (`"transformers"`, `"openai"`, …); default: the recipe's.
            device: where a local model runs; default: the backend chooses.
            token: for gated weights on the Hugging Face hub.
            api_key: for served models.
            api_base_url: where the model is served.
            top_k: how many documents to return.
            score_threshold: only documents with at least this score, and those that could not be judged.
            meta_fields_to_embed: meta values that are read before the content.
            embedding_separator: between those values and the content.
            reasoning: `"full"` reasons before every verdict, `"none"` never, `"auto"` where it can change the
                top of the list; default: the recipe's.
            budget: for `reasoning="auto"` and recipe `cascade`, as in `"20 documents, 5 seconds"`.
            samples: completions per document, whose scores are averaged.
            seed: of the sampling.
            temperature: default 0 for one sample, 0.7 for several.
            top_p: nucleus of the sampling.
            max_reasoning_tokens: longest reasoning, which is then closed by force; None: the recipe's.
            cut_to_sentence: reasoning that was closed by force loses its unfinished sentence.
            instruction: name of a benchmark's instruction, or a text that holds `{{ query }}`; for recipe
                `qwen3-reranker` a sentence that says the task.
            template: another prompt template: a name, or the path of a `.toml` file.
            chunks: judge a document that is too long by its pieces: `"max"`, `"first"`, `"mean-top-2"`, with
                a length as in `"max:300 words"`; default: its end is not read.
            calibration: file that `limrank calibrate` wrote: scores become probabilities, and so does
                `score_threshold`.
            trace: make OpenTelemetry spans with the tracer provider that is set (extra `otel`).
            explanation_meta_field: write the model's reasoning into this field of the documents' meta.
                Default: it is only in the output `meta`, so that no later prompt shows it unasked.
            cache_path: SQLite file of replies that need not be asked for again; processes may share it.
            model_kwargs: every other argument of `limrank_plugins.Reranker`, which are those of its backend,
                too (`dtype`, `adapter`, `revision`, …), JSON-able.
            raise_on_failure: raise where a document could not be judged, instead of keeping its place.

        Raises:
            ValueError: a value that cannot be used; the message names it.
        """
        self.recipe = recipe
        self.model = model
        self.backend = backend
        self.token = as_secret(token)
        self.api_key = as_secret(api_key)
        if api_base_url is not None:
            check_written(api_base_url)
        self.api_base_url = api_base_url
        self.top_k = _checked_top_k(top_k)
        self._recipe: Recipe = load_recipe(recipe)
        self.device = as_device(device, self._recipe, backend)
        self.score_threshold = self._checked_threshold(score_threshold)
        self.meta_fields_to_embed = meta_fields_to_embed
        self.embedding_separator = embedding_separator
        self.reasoning = reasoning
        self.budget = budget
        self.samples = samples
        self.seed = seed
        self.temperature = temperature
        self.top_p = top_p
        self.max_reasoning_tokens = max_reasoning_tokens
        self.cut_to_sentence = cut_to_sentence
        self.instruction = instruction
        self.template = template
        self.chunks = chunks
        self.calibration = as_file("calibration", calibration)
        self.trace = trace
        self.explanation_meta_field = explanation_meta_field
        self.cache_path = as_file("cache_path", cache_path)
        self.model_kwargs = model_kwargs
        self.raise_on_failure = raise_on_failure
        own = arguments_of(self)
        check_model_kwargs(model_kwargs, {name: name for name in own} | _RENAMED)
        taken = inspect.signature(Reranker).parameters.keys()
        check_made(self._recipe, backend, (model_kwargs or {}).keys() - taken)
        self._lazy: Lazy[Reranker] = Lazy()

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary.

        Raises:
            ValueError: a secret made with `Secret.from_token`, which must not be written down.
        """
        values = arguments_of(self)
        return default_to_dict(self, **{name: serialised(name, value) for name, value in values.items()})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LimRankRanker":
        """The component that `to_dict` described."""
        # A copy, because Haystack 2.x puts the restored secrets into the dictionary it is given.
        return default_from_dict(cls, data | {"init_parameters": dict(data.get("init_parameters", {}))})

    # ---- the model ------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Load the model, if it is not loaded yet."""
        self._loaded()

    async def warm_up_async(self) -> None:
        """Load the model, if it is not loaded yet, without blocking the event loop."""
        await asyncio.to_thread(self._loaded)

    def close(self) -> None:
        """Release the model. The next `run` loads it again."""
        reranker = self._lazy.pop()
        if reranker is not None:
            reranker.close()
            if reranker.store is not None:
                reranker.store.close()

    async def close_async(self) -> None:
        """Release the model without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def _loaded(self) -> Reranker:
        with hiding(self._keys()):
            return self._lazy.get(self._build)

    def _build(self) -> Reranker:
        backend = self.backend if self.backend is not None else self._recipe.backend
        options = backend_options(
            backend,
            device=self.device,
            token=self.token,
            api_key=self.api_key,
            api_base_url=self.api_base_url,
            model_kwargs=self.model_kwargs,
        )
        shared = {n: v for n, v in arguments_of(self).items() if n in inspect.signature(Reranker).parameters}
        return Reranker(
            **shared | {"recipe": self._recipe, "backend": backend},
            on_failure="raise" if self.raise_on_failure else "mark",
            store=Store(self.cache_path) if self.cache_path is not None else None,
            **options,
        )

    def _keys(self) -> list[str | None]:
        return [key_of(self.token), key_of(self.api_key)]

    # ---- ranking --------------------------------------------------------------------------------

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """Rank documents. `score_threshold` filters, then `top_k` cuts.

        Args:
            query: what is searched for.
            documents: the candidates, in the retriever's order; they are not changed.
            top_k: how many to return; default: as initialised.
            score_threshold: the least score; default: as initialised.

        Returns:
            `documents`: new documents, best first, with `score` set (None: could not be judged).
            `meta`: `recipe`, `model`, `score_kind`, `usage` (tokens, calls, seconds), `cost` (dollars, or
            None), `failures` (a list of `id` and `reason`), `repairs`, and, by document id, `explanations`,
            `retrieval_scores` and `cut_tokens` (of documents that did not fit), `query_cut_tokens` (of a
            query that did not).

        Raises:
            ValueError: a value that cannot be used.
            RuntimeError: with `raise_on_failure`, a document could not be judged.
        """
        inputs = self._checked(query, documents, top_k, score_threshold)
        output = self._without_model(inputs)
        if output is not None:
            return output
        reranker = self._loaded()
        try:
            with hiding(self._keys()), told_by_caller():
                ranking = reranker.rank(
                    inputs.query, self._candidates(inputs), top_n=inputs.top_k, threshold=inputs.threshold
                )
        except Exception as error:  # noqa: BLE001 - the failure policy decides
            return self._failed(inputs, error)
        return self._ranked(inputs, ranking)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """`run` for async pipelines: nothing blocks the event loop, served models are asked natively."""
        inputs = self._checked(query, documents, top_k, score_threshold)
        output = self._without_model(inputs)
        if output is not None:
            return output
        reranker = await asyncio.to_thread(self._loaded)
        try:
            with hiding(self._keys()), told_by_caller():
                ranking = await reranker.arank(
                    inputs.query, self._candidates(inputs), top_n=inputs.top_k, threshold=inputs.threshold
                )
        except Exception as error:  # noqa: BLE001 - the failure policy decides
            return self._failed(inputs, error)
        return self._ranked(inputs, ranking)

    def _checked(
        self, query: str, documents: Sequence[Document], top_k: int | None, score_threshold: float | None
    ) -> _Inputs:
        return _Inputs(
            query,
            docs.deduplicated(documents),
            self.top_k if top_k is None else _checked_top_k(top_k),
            self.score_threshold if score_threshold is None else self._checked_threshold(score_threshold),
        )

    def _checked_threshold(self, threshold: float | None) -> float | None:
        if threshold is None:
            return None
        is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
        if not (is_number and math.isfinite(threshold)):
            raise ValueError(f"score_threshold must be a finite number, but got {threshold!r}")
        check_threshold(self._recipe, threshold, CutNames("top_k", "score_threshold"))
        return threshold

    def _candidates(self, inputs: _Inputs) -> list[Candidate]:
        fields = self.meta_fields_to_embed if self.meta_fields_to_embed is not None else []
        return docs.candidates(inputs.documents, fields, self.embedding_separator)

    def _without_model(self, inputs: _Inputs) -> dict[str, Any] | None:
        """The output where no model is asked: no documents, or a query without a word."""
        if not inputs.documents:
            return self._unjudged(inputs, "")
        if not isinstance(inputs.query, str) or inputs.query.strip():
            return None
        reason = f"the query is empty: got {inputs.query!r}"
        if self.raise_on_failure:
            raise InputError(reason)
        return self._unjudged(inputs, reason)

    def _failed(self, inputs: _Inputs, error: Exception) -> dict[str, Any]:
        if self.raise_on_failure or isinstance(error, InputError | CapabilityError | MissingExtra):
            raise error
        name = "" if isinstance(error, LimRankError) else f"{type(error).__name__}: "
        return self._unjudged(inputs, f"{name}{error}")

    def _unjudged(self, inputs: _Inputs, reason: str) -> dict[str, Any]:
        if inputs.documents:
            logger.warning("LimRankRanker could not judge any document: {reason}", reason=reason)
        failures = [Failure(document.id, reason) for document in inputs.documents]
        first = docs.unscored(inputs.documents[: inputs.top_k])
        return {"documents": first, "meta": self._report(inputs, None, failures)}

    def _ranked(self, inputs: _Inputs, ranking: Ranking) -> dict[str, Any]:
        failures = [Failure(f.id, redacted(f.reason, self._keys())) for f in ranking.failures]
        for remark in remarks([ranking]):
            logger.warning("LimRankRanker: {remark}", remark=remark)
        if failures:
            logger.warning(
                "LimRankRanker could not judge {failed} of {total}; the first: {reason}",
                failed=len(failures),
                total=number_of(len(inputs.documents), "document"),
                reason=failures[0].reason,
            )
        documents = docs.ranked(inputs.documents, ranking, self.explanation_meta_field)
        return {"documents": documents, "meta": self._report(inputs, ranking, failures)}

    def _report(
        self, inputs: _Inputs, ranking: Ranking | None, failures: Sequence[Failure]
    ) -> dict[str, Any]:
        kind = self._recipe.score_kind if self.calibration is None else "probability"
        return docs.report(
            inputs.documents,
            ranking,
            failures,
            recipe=self.recipe,
            model=self.model if self.model is not None else self._recipe.model,
            score_kind=kind if ranking is None else ranking.score_kind,
        )


def _checked_top_k(top_k: int) -> int:
    whole_number("top_k", top_k)
    if top_k <= 0:
        raise ValueError(f"top_k must be > 0, but got {top_k}")
    return top_k
