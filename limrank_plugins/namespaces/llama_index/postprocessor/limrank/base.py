"""`LimRankRerank`: a reasoning reranker for any LlamaIndex query or chat engine."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.prompts.mixin import PromptDictType, PromptMixin, PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.postprocessor.limrank.images import images_of
from llama_index.postprocessor.limrank.model import LimRankModel
from llama_index.postprocessor.limrank.wording import as_prompt, from_prompt, to_wording

from limrank_plugins.data import Document, Hit, Ranking
from limrank_plugins.errors import InputError

PROMPT = "rerank_prompt"
_MARKS = ("limrank_explanation", "limrank_failure", "limrank_cut_tokens")

logger = logging.getLogger(__name__)
dispatcher = get_dispatcher(__name__)


@dataclass
class _Outcome:
    nodes: list[NodeWithScore] = field(default_factory=list)
    tags: dict[str, Any] = field(default_factory=dict)


class LimRankRerank(PromptMixin, LimRankModel):
    """Reranks retrieved nodes by what a reasoning model says about each of them.

    The model is loaded at first use. Input nodes are never changed: nodes come back as they are
    inside new `NodeWithScore`s, or, where something is to be kept with them, as copies whose new
    metadata (`retrieval_score`, `limrank_explanation`, `limrank_failure`, `limrank_cut_tokens`)
    is excluded from the texts that the LLM and the embedding model read.

    A node that could not be judged keeps its place, has the score None and says why in
    `metadata["limrank_failure"]`; `on_failure="raise"` raises instead. Equal scores keep the
    order of retrieval; recipe `mini` also reads the score a node was retrieved with. A
    `ReRankEndEvent` is sent even if an error ends the ranking (then without nodes); its
    `tags["limrank"]` says what the ranking cost.

    The picture of an `ImageNode`, or of a node with an `image_resource`, is shown to models that can
    see (recipes `ragvl`, `mm-embed`, `mm-r5`); with any other model such a node counts as failed.

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

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised pipelines."""
        return "LimRankRerank"

    # ---- ranking --------------------------------------------------------------------------------

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        documents = self._documents(nodes)
        with self._announced(nodes, query) as outcome, self._without_key():
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
        documents = self._documents(nodes)
        with self._announced(nodes, query) as outcome, self._without_key():
            ready = await asyncio.to_thread(self._ready)  # loading a model must not stop the loop
            ranking = await ready.arank(
                query.query_str, documents, top_n=self.top_n, threshold=self.threshold
            )
            self._arrange(nodes, ranking, outcome)
        return outcome.nodes

    def _documents(self, nodes: Sequence[NodeWithScore]) -> list[Document]:
        # Node ids may repeat (one node found twice): what comes back is matched by position.
        unique = len({node.node.node_id for node in nodes}) == len(nodes)
        documents = []
        for position, node in enumerate(nodes):
            identifier = node.node.node_id
            if node.score is not None and not math.isfinite(node.score):
                raise InputError(
                    f"the retrieval score of node {identifier!r} is {node.score}: "
                    "it must be a finite number, or None for none"
                )
            documents.append(
                Document(
                    text=node.node.get_content(metadata_mode=self.metadata_mode),
                    id=identifier if unique else f"{position}:{identifier}",
                    prior=node.score,
                    images=images_of(node.node),
                )
            )
        return documents

    def _arrange(self, nodes: Sequence[NodeWithScore], ranking: Ranking, outcome: _Outcome) -> None:
        outcome.nodes = [self._result(nodes[hit.index], hit) for hit in ranking]
        outcome.tags = {
            "recipe": ranking.recipe,
            "score_kind": ranking.score_kind,
            "failures": len(ranking.failures),
            "repairs": ranking.repairs,
            "usage": asdict(ranking.usage),
        }
        if ranking.failures:
            logger.warning(
                "%d of %d nodes could not be judged and keep their places; the first one, %r: %s",
                len(ranking.failures),
                len(nodes),
                ranking.failures[0].id,
                self._redacted(ranking.failures[0].reason),
            )

    def _result(self, given: NodeWithScore, hit: Hit) -> NodeWithScore:
        kept: dict[str, Any] = {}
        if self.keep_retrieval_score:
            kept["retrieval_score"] = given.score
        if self.keep_explanation and hit.explanation is not None:
            kept["limrank_explanation"] = hit.explanation
        if hit.failure is not None:
            kept["limrank_failure"] = self._redacted(hit.failure)
        if hit.cut_tokens:
            kept["limrank_cut_tokens"] = hit.cut_tokens
        node = given.node
        # What an earlier reranker said about the node must not be taken for what this one says.
        before = {key: value for key, value in node.metadata.items() if key not in _MARKS}
        if kept or len(before) < len(node.metadata):
            node = node.model_copy(
                update={
                    "metadata": before | kept,
                    "excluded_llm_metadata_keys": _union(node.excluded_llm_metadata_keys, kept),
                    "excluded_embed_metadata_keys": _union(node.excluded_embed_metadata_keys, kept),
                }
            )
        return NodeWithScore(node=node, score=None if hit.score is None else float(hit.score))

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
        wording = self.prompt if self.prompt is not None or template is None else to_wording(template)
        return {} if wording is None else {PROMPT: as_prompt(wording)}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        unknown = sorted(name for name in prompts if name != PROMPT)
        if unknown:
            raise InputError(f"there is no prompt {', '.join(unknown)}; there is: {PROMPT}")
        if PROMPT in prompts:
            self._rewordable()
            self.prompt = from_prompt(prompts[PROMPT])

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


def _query(query_bundle: QueryBundle | None) -> QueryBundle:
    if query_bundle is None:
        raise InputError("Missing query bundle: pass query_bundle=… or query_str=…")
    return query_bundle


def _union(keys: Sequence[str], more: dict[str, Any]) -> list[str]:
    return [*keys, *(key for key in more if key not in keys)]
