"""`LimRankRerank`: a reasoning reranker for any LlamaIndex query or chat engine."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from llama_index.core.bridge.pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import PromptTemplate
from llama_index.core.prompts.mixin import PromptDictType, PromptMixin, PromptMixinType
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.postprocessor.limrank.nodes import candidates, reranked
from llama_index.postprocessor.limrank.prompts import brace_text, brace_text_of, check_brace_text, with_prompt

from limrank_plugins.arguments import Thinking, check_device_for, check_made
from limrank_plugins.backends.remote.addresses import check_written
from limrank_plugins.checks import check_names
from limrank_plugins.data import Ranking
from limrank_plugins.errors import InputError
from limrank_plugins.failure_log import told_by_caller, warn_of
from limrank_plugins.lazy import Lazy
from limrank_plugins.prompts import Template
from limrank_plugins.rankings import check_cut, check_threshold
from limrank_plugins.recipes import load_recipe
from limrank_plugins.reranker import Reranker
from limrank_plugins.secrecy import hiding
from limrank_plugins.store import Store
from limrank_plugins.template_choice import expected_template
from limrank_plugins.wording import number_of

PROMPT = "rerank_prompt"
# Arguments of `Reranker`, those that are fields under the same names and any that may be added to it.
_RERANKER = tuple(name for name in inspect.signature(Reranker).parameters if name not in ("store", "options"))
# Passed on to the backend where they are set.
_BACKEND = ("device", "dtype", "base_url", "api_key")
# All that a ready reranker has decided already.
_DECIDED = (*_RERANKER, *_BACKEND, "backend_options", "store")
_FIXED = (*_DECIDED, "reranker")

logger = logging.getLogger(__name__)
dispatcher = get_dispatcher(__name__)


@dataclass
class _Outcome:
    nodes: list[NodeWithScore] = field(default_factory=list)
    tags: dict[str, Any] = field(default_factory=dict)


class LimRankRerank(PromptMixin, BaseNodePostprocessor):
    """Reranks retrieved nodes by what a reasoning model says about each of them.

    The model is loaded at first use. Input nodes are never changed: nodes come back as they are
    inside new `NodeWithScore`s, or, where something is to be kept with them, as copies whose new
    metadata (`retrieval_score`, `limrank_explanation`, `limrank_failure`, `limrank_cut_tokens`,
    `limrank_piece`) is excluded from the texts that the LLM and the embedding model read.

    A node that could not be judged keeps its place, has the score None and says why in
    `metadata["limrank_failure"]`; `on_failure="raise"` raises instead. Equal scores keep the
    order of retrieval; recipe `mini` also reads the score a node was retrieved with. A
    `ReRankEndEvent` is sent even if an error ends the ranking (then without nodes); its
    `tags["limrank"]` says what the ranking cost.

    Metadata is read with a node's text where its embedding model reads it, too, as LlamaIndex does;
    `metadata_mode="none"` reads the text alone.

    The image of an `ImageNode`, or of a node with an `image_resource`, is shown to models that can
    see (recipes `ragvl`, `mm-embed`, `mm-r5`); all others judge such a node by its text. One without
    text counts as failed there, and so does, everywhere, a node whose image cannot be read.

    What decides which model is asked and how cannot be assigned, so that a loaded model never
    disagrees with the fields; `top_n`, `threshold`, `prompt`, what is kept and `metadata_mode` can.

    Args:
        recipe: a recipe's name; default `"limrank"`. Every other argument is described with its
            field; all have defaults.
        top_n: how many nodes to keep; default None, all.
        threshold: keep nodes with `score >= threshold`; default None.
        reranker: a ready `limrank_plugins.Reranker` instead of `recipe`, `model` and the like.

    Raises:
        ValueError: a value that cannot be used, or an argument that does not exist.

    Example:
        >>> from llama_index.postprocessor.limrank import LimRankRerank
        >>> rerank = LimRankRerank(top_n=5)
        >>> engine = index.as_query_engine(similarity_top_k=50, node_postprocessors=[rerank])
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        validate_assignment=True,
        hide_input_in_errors=True,  # a key under a misspelled name would be printed otherwise
    )

    recipe: str = Field(
        default="limrank",
        description="A recipe's name, with options if it has any; `limrank recipes` lists them.",
    )
    model: str | None = Field(
        default=None, description="Folder, hub name or GGUF file; None: the recipe's checkpoint."
    )
    backend: str | None = Field(
        default=None, description="Name of the way to run the model; None: the recipe's."
    )
    reasoning: Thinking | None = Field(
        default=None,
        description="'full' reasons before every verdict, 'none' never, 'auto' where it can change the top; "
        "None: the recipe's.",
    )
    budget: str | None = Field(
        default=None,
        description="For reasoning='auto' and recipe 'cascade': '20 documents', '50000 tokens', '5 seconds'.",
    )
    samples: int = Field(
        default=1,
        strict=True,
        gt=0,
        description="Completions per document, averaged (recipes that order: permutations that vote).",
    )
    seed: int = Field(default=0, strict=True, description="Of the sampling.")
    temperature: float | None = Field(
        default=None, ge=0, description="None: 0 for one sample, 0.7 for several."
    )
    top_p: float = Field(default=0.95, gt=0, le=1, description="Nucleus of the sampling.")
    max_reasoning_tokens: int | None = Field(
        default=None,
        strict=True,
        gt=0,
        description="Longest reasoning; then it is closed by force. None: the recipe's.",
    )
    cut_to_sentence: bool = Field(
        default=True, description="Cut reasoning that was closed by force back to its last sentence end."
    )
    instruction: str | None = Field(
        default=None,
        description="A benchmark's instruction by name, or a text that holds {{ query }}; for recipe "
        "qwen3-reranker a sentence that says the task.",
    )
    template: str | None = Field(
        default=None, description="Another prompt template: a name, or the path of a .toml file."
    )
    chunks: str | None = Field(
        default=None,
        description="Judge a node that is too long by its pieces: 'max', 'first', 'mean-top-2', with a "
        "length as in 'max:300 words'; None: its end is not read.",
    )
    calibration: str | None = Field(
        default=None,
        description="File that `limrank calibrate` wrote: scores, and the threshold, become probabilities.",
    )
    trace: bool = Field(
        default=False,
        description="Make OpenTelemetry spans with the tracer provider that is set (extra otel).",
    )
    on_failure: Literal["mark", "raise"] = Field(
        default="mark",
        description="'mark' keeps a node that could not be judged in its place; 'raise' raises.",
    )
    device: str | None = Field(default=None, description="For backends that take one: 'cpu', 'cuda:0'.")
    dtype: str | None = Field(default=None, description="For backends that take one: 'bfloat16'.")
    base_url: str | None = Field(default=None, description="Address of a served model.")
    api_key: SecretStr | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Key of a served model. Never serialised; None: the backend's environment variable.",
    )
    backend_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Every other argument of limrank_plugins.Reranker, which are those of its backend, too: "
        "adapter, revision, max_length, … No secrets: they are serialised.",
    )
    store: str | None = Field(
        default=None, description="SQLite file with replies that need not be asked for again; None: no file."
    )
    reranker: Reranker | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="A ready reranker instead of everything above. Never serialised.",
    )

    top_n: int | None = Field(default=None, strict=True, description="How many nodes to keep; None: all.")
    threshold: float | None = Field(
        default=None,
        strict=True,
        description="Keep nodes with score >= threshold (before top_n); failed ones stay.",
    )
    prompt: str | None = Field(
        default=None, description="Another text of the recipe's prompt, with {query} and {document}."
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED,
        description="Which metadata the model reads with a node's text; 'none' reads the text alone.",
    )
    keep_retrieval_score: bool = Field(
        default=False, description="Keep the score a node came with in its metadata, as 'retrieval_score'."
    )
    keep_explanation: bool = Field(
        default=True,
        description="Keep the model's reasoning in the node's metadata, as 'limrank_explanation'.",
    )

    _lazy: Lazy[Reranker] = PrivateAttr(default_factory=Lazy)

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised pipelines."""
        return "LimRankRerank"

    # ---- checks ---------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        # Not pydantic's `frozen`: its error prints the value, which may be a key.
        if name in _FIXED:
            raise InputError(f"{name} cannot be changed: make another one, or use model_copy(update=…)")
        super().__setattr__(name, value)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # `model_dump` adds it, so `model_validate` has to take it.
        given = {name: value for name, value in data.items() if name != "class_name"}
        check_names(cls.__name__, given, cls.model_fields)
        return given

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, value: str | None) -> str | None:
        if value is not None:
            check_written(value)
        return value

    @field_validator("backend_options")
    @classmethod
    def _other_options(cls, value: dict[str, Any]) -> dict[str, Any]:
        own = [name for name in value if name in cls.model_fields]
        if own:
            raise InputError(f"backend_options: {', '.join(own)} must be given as an argument of its own")
        return value

    @field_validator("top_n")
    @classmethod
    def _check_top_n(cls, value: int | None) -> int | None:
        check_cut(value, None)
        return value

    @field_validator("threshold")
    @classmethod
    def _check_threshold(cls, value: float | None, info: ValidationInfo) -> float | None:
        check_cut(None, value)
        if value is not None and {"recipe", "reranker"} <= info.data.keys():
            ready: Reranker | None = info.data["reranker"]
            check_threshold(load_recipe(info.data["recipe"]) if ready is None else ready.recipe, value)
        return value

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, value: str | None) -> str | None:
        return None if value is None else check_brace_text(value)

    @field_serializer("metadata_mode")
    def _plain(self, value: MetadataMode) -> str:
        return value.value

    def model_post_init(self, context: Any, /) -> None:
        """Check the recipe's name, or describe the ready reranker truthfully in the fields."""
        super().model_post_init(context)
        if self.reranker is None:
            recipe = load_recipe(self.recipe)
            check_device_for(recipe, self.backend, self.device)
            taken = inspect.signature(Reranker).parameters.keys()
            check_made(recipe, self.backend, self.backend_options.keys() - taken)
            return
        decided = sorted(self.model_fields_set & set(_DECIDED))
        if decided:
            raise InputError(f"{', '.join(decided)}: the reranker that was passed has decided this already")
        settings = self.reranker.settings
        described = {name: getattr(settings, name) for name in self._shared() if hasattr(settings, name)}
        described |= {"reasoning": self.reranker.reasoning, "budget": self.reranker.budget}
        described |= {"recipe": self.reranker.recipe.name, "on_failure": self.reranker.on_failure}
        self.__dict__.update(described)

    # ---- ranking --------------------------------------------------------------------------------

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        documents = candidates(nodes, self.metadata_mode)
        with self._announced(nodes, query) as outcome, hiding(self._secrets()), told_by_caller():
            ranking = self._ready().rank(
                query.query_str, documents, top_n=self.top_n, threshold=self.threshold
            )
            self._arrange(nodes, ranking, outcome)
        return outcome.nodes

    # Unlike the abstract `_postprocess_nodes`, this one gets no span by itself.
    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        documents = await asyncio.to_thread(candidates, nodes, self.metadata_mode)  # image files are read
        with self._announced(nodes, query) as outcome, hiding(self._secrets()), told_by_caller():
            reranker = await asyncio.to_thread(self._ready)  # loading a model must not stop the loop
            ranking = await reranker.arank(
                query.query_str, documents, top_n=self.top_n, threshold=self.threshold
            )
            self._arrange(nodes, ranking, outcome)
        return outcome.nodes

    def _arrange(self, nodes: Sequence[NodeWithScore], ranking: Ranking, outcome: _Outcome) -> None:
        secrets = self._secrets()
        outcome.nodes = [
            reranked(
                nodes[hit.index],
                hit,
                secrets,
                with_explanation=self.keep_explanation,
                with_retrieval_score=self.keep_retrieval_score,
            )
            for hit in ranking
        ]
        outcome.tags = {
            "recipe": ranking.recipe,
            "score_kind": ranking.score_kind,
            "failures": len(ranking.failures),
            "repairs": ranking.repairs,
            "query_cut_tokens": ranking.query_cut_tokens,
            "usage": asdict(ranking.usage),
            "cost": ranking.cost,
        }
        warn_of(ranking, logger, number_of(len(nodes), "node"), secrets)

    @contextmanager
    def _announced(self, nodes: list[NodeWithScore], query: QueryBundle) -> Iterator[_Outcome]:
        """Start and end for both kinds of observers, whatever happens in between."""
        outcome = _Outcome()
        top_n = len(nodes) if self.top_n is None else self.top_n
        name = self._model_name()
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: top_n,
        }
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name))
        try:
            with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
                yield outcome
                event.on_end(payload={EventPayload.NODES: outcome.nodes})
        finally:
            dispatcher.event(ReRankEndEvent(nodes=outcome.nodes, tags={"limrank": outcome.tags}))

    # ---- prompts --------------------------------------------------------------------------------

    def _get_prompts(self) -> PromptDictType:
        template = self._template()
        text = self.prompt if self.prompt is not None or template is None else brace_text(template)
        return {} if text is None else {PROMPT: PromptTemplate(text)}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        unknown = sorted(name for name in prompts if name != PROMPT)
        if unknown:
            raise InputError(f"there is no prompt {', '.join(unknown)}; there is: {PROMPT}")
        if PROMPT in prompts:
            self._check_template()
            self.prompt = brace_text_of(prompts[PROMPT])

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _template(self) -> Template | None:
        if self.reranker is not None:
            return self.reranker.template
        recipe, loaded = load_recipe(self.recipe), self._lazy.held
        if loaded is not None and recipe.template is not None:
            return loaded.template
        return expected_template(recipe, self.template, self.model, self.backend_options.get("adapter"))

    def _check_template(self) -> Template:
        template = self._template()
        if template is None or brace_text(template) is None:
            raise InputError(
                f"recipe {self.recipe!r} has no prompt that can be written with {{query}} and {{document}}; "
                "recipes whose prompt loops over documents take template=… with the path of a .toml file"
            )
        return template

    # ---- the model ------------------------------------------------------------------------------

    def close(self) -> None:
        """Release the model, if it was loaded here. The next use loads it again."""
        reranker = self._lazy.pop()
        if reranker is not None:
            reranker.close()

    def _ready(self) -> Reranker:
        """The reranker, loaded by the first who asks, with the prompt as it is set now."""
        reranker = self.reranker if self.reranker is not None else self._lazy.get(self._build)
        if self.prompt is None:
            return reranker
        return reranker.with_template(with_prompt(self._check_template(), self.prompt))

    def _build(self) -> Reranker:
        options = self.backend_options | {
            name: getattr(self, name) for name in _BACKEND if getattr(self, name) is not None
        }
        if self.api_key is not None:
            options["api_key"] = self.api_key.get_secret_value()
        store = None if self.store is None else Store(self.store)
        return Reranker(**{name: getattr(self, name) for name in self._shared()}, store=store, **options)

    def _shared(self) -> list[str]:
        """The arguments of `Reranker` that are fields."""
        return [name for name in _RERANKER if name in type(self).model_fields]

    def _model_name(self) -> str:
        if self.reranker is not None:
            return self.reranker.backend.identity
        return self.model if self.model is not None else load_recipe(self.recipe).model

    def _secrets(self) -> list[str]:
        """What servers like to quote when they refuse it."""
        return [] if self.api_key is None else [self.api_key.get_secret_value()]

    # ---- copies ---------------------------------------------------------------------------------

    def model_copy(self, *, update: dict[str, Any] | None = None, deep: bool = False) -> Self:  # type: ignore[override]
        """A copy. It shares the loaded model unless `update` names something that decides on it."""
        copied = super().model_copy(update=update, deep=deep)
        if update is not None and set(update) & set(_FIXED):
            copied._lazy = Lazy()
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo[id(self.reranker)] = self.reranker  # models are shared, settings copied
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[str, Any]:
        # LlamaIndex would leave out one that cannot be pickled, and another model would rank.
        pickle.dumps(self.reranker)
        state = super().__getstate__()
        state["__dict__"] = state["__dict__"] | {"api_key": None}
        return state


def _query(query_bundle: QueryBundle | None) -> QueryBundle:
    if query_bundle is None:
        raise InputError("Missing query bundle: pass query_bundle=… or query_str=…")
    return query_bundle
