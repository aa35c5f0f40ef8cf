"""`LimRankRerank` by itself: results, failures, texts and metadata."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from llama_index.postprocessor.limrank import LimRankRerank
from scripted_nodes import QUERY, ids, nodes, relevance, rerank
from scripts import passage_of, reranker

from limrank_plugins import Reranker, ScriptedBackend
from limrank_plugins.errors import RankingFailed

# ---- results ----------------------------------------------------------------------------------------


def test_reranks_and_scores_with_probabilities() -> None:
    reranked = rerank().postprocess_nodes(nodes("bread!", "bread", "acid"), query_str=QUERY)
    assert ids(reranked) == ["n2", "n1", "n0"]
    assert [round(node.score, 4) for node in reranked] == [0.8808, 0.2689, 0.1192]
    assert all(type(node.score) is float for node in reranked)


async def test_async_gives_what_sync_gives() -> None:
    candidates = nodes("bread!", "bad", "bread", "acid")
    for postprocessor in (
        rerank(),
        LimRankRerank(reranker=reranker()),
        LimRankRerank(reranker=reranker(asynchronous=True)),
    ):
        reranked = await postprocessor.apostprocess_nodes(candidates, QueryBundle(QUERY))
        assert reranked == await asyncio.to_thread(
            postprocessor.postprocess_nodes, candidates, QueryBundle(QUERY)
        )
        assert sorted(ids(reranked)) == sorted(ids(candidates))


async def test_sync_works_inside_a_running_loop() -> None:
    # As in a notebook: a plain call, on the loop's own thread, of a backend that is async.
    reranked = LimRankRerank(reranker=reranker(asynchronous=True)).postprocess_nodes(
        nodes("a", "b"), query_str=QUERY
    )
    assert sorted(ids(reranked)) == ["n0", "n1"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"top_n": 2}, ["n3", "n1"]),
        ({"top_n": 99}, ["n3", "n1", "n2", "n0"]),
        ({"threshold": 0.25}, ["n3", "n1", "n2"]),
        ({"threshold": 0.25, "top_n": 1}, ["n3"]),
        ({"threshold": 0.99}, ["n1"]),  # a failed node is not removed by a threshold
    ],
)
def test_top_n_and_threshold(options: dict[str, Any], expected: list[str]) -> None:
    candidates = nodes("bread!", "bad", "bread", "acid")
    assert ids(rerank(**options).postprocess_nodes(candidates, query_str=QUERY)) == expected


def test_threshold_on_scores_that_are_not_comparable_is_refused() -> None:
    with pytest.raises(ValueError, match="not comparable"):
        LimRankRerank(reranker=reranker("mini"), threshold=0.5).postprocess_nodes(nodes("a"), query_str=QUERY)


def test_a_failed_node_keeps_its_place_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    candidates = nodes("bread", "bad", "acid", metadata={"page": 3})
    with caplog.at_level(logging.WARNING):
        reranked = rerank().postprocess_nodes(candidates, query_str=QUERY)
    assert ids(reranked) == ["n2", "n1", "n0"]
    failed = reranked[1]
    assert failed.score is None
    assert failed.node.metadata == {"page": 3, "limrank_failure": "the model said nothing"}
    assert failed.node.get_content(MetadataMode.LLM) == "page: 3\n\nbad"
    assert "1 of 3 nodes could not be judged" in caplog.text
    assert "'n1': the model said nothing" in caplog.text


def test_on_failure_raise() -> None:
    raising = Reranker(
        "limrank", backend=ScriptedBackend(read_labels=relevance), reasoning="none", on_failure="raise"
    )
    with pytest.raises(RankingFailed, match="'n1' could not be judged: the model said nothing"):
        LimRankRerank(reranker=raising).postprocess_nodes(nodes("acid", "bad"), query_str=QUERY)


@pytest.mark.parametrize("path", ["sync", "async"])
async def test_nothing_to_do_and_no_query(path: str) -> None:
    async def call(candidates: list[NodeWithScore], query: QueryBundle | None) -> list[NodeWithScore]:
        if path == "async":
            return await rerank().apostprocess_nodes(candidates, query)
        return rerank().postprocess_nodes(candidates, query)

    assert await call([], QueryBundle(QUERY)) == []
    with pytest.raises(ValueError, match="Missing query bundle"):
        await call(nodes("a"), None)
    with pytest.raises(ValueError, match="the query is empty"):
        await call(nodes("a"), QueryBundle("  "))
    with pytest.raises(ValueError, match="both query_str and query_bundle"):
        rerank().postprocess_nodes(nodes("a"), QueryBundle(QUERY), query_str=QUERY)


def test_repeated_node_ids_are_kept_apart_by_position() -> None:
    texts = ("bread", "acid", "bad", "bread!")
    candidates = [
        NodeWithScore(node=TextNode(text=text, id_=id_)) for text, id_ in zip(texts, "aab1", strict=True)
    ]
    candidates.append(candidates[1])  # and one node twice
    reranked = rerank().postprocess_nodes(candidates, query_str=QUERY)
    assert [node.node.text for node in reranked] == ["acid", "acid", "bad", "bread", "bread!"]


def test_the_retrieval_score_reaches_recipes_that_read_it() -> None:
    backend = ScriptedBackend(encode=lambda text, role: [1.0, 0.0])  # all passages alike
    candidates = [
        NodeWithScore(node=TextNode(text=text, id_=text), score=score)
        for text, score in (("a", 1), ("b", None), ("c", 3.0))
    ]
    reranked = LimRankRerank(reranker=Reranker("mini", backend=backend)).postprocess_nodes(
        candidates, query_str=QUERY
    )
    assert ids(reranked) == ["c", "a", "b"]


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_retrieval_score_that_is_no_number_is_named(score: float) -> None:
    candidates = [NodeWithScore(node=TextNode(text="a", id_="odd"), score=score)]
    with pytest.raises(ValueError, match=f"retrieval score of node 'odd' is {score}"):
        rerank().postprocess_nodes(candidates, query_str=QUERY)


# ---- texts and metadata -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (None, "embed: 1\n\nacid"),
        (MetadataMode.LLM, "llm: 2\n\nacid"),
        (MetadataMode.ALL, "embed: 1\nllm: 2\n\nacid"),
        (MetadataMode.NONE, "acid"),
    ],
)
def test_metadata_mode_decides_what_the_model_reads(mode: MetadataMode | None, text: str) -> None:
    options = {} if mode is None else {"metadata_mode": mode}
    postprocessor = rerank(**options)
    candidates = nodes(
        "acid",
        metadata={"embed": 1, "llm": 2},
        excluded_embed_metadata_keys=["llm"],
        excluded_llm_metadata_keys=["embed"],
    )
    postprocessor.postprocess_nodes(candidates, query_str=QUERY)
    assert passage_of(postprocessor.reranker.backend.requests[0].prompt) == text


def test_input_is_never_changed() -> None:
    candidates = nodes("bread", "bad", "acid", metadata={"page": 3})
    before = copy.deepcopy(candidates)
    objects = [node.node for node in candidates]
    postprocessor = LimRankRerank(reranker=reranker(), keep_retrieval_score=True)
    reranked = postprocessor.postprocess_nodes(candidates, query_str=QUERY)
    assert candidates == before
    assert [node.node for node in candidates] == objects
    assert not any(node is other for node in reranked for other in candidates)


def test_nodes_with_nothing_to_keep_come_back_as_they_are() -> None:
    candidates = nodes("bread", "acid")
    reranked = rerank().postprocess_nodes(candidates, query_str=QUERY)
    assert reranked[0].node is candidates[1].node
    assert reranked[1].node is candidates[0].node


def test_kept_scores_and_explanations_stay_off_the_texts_that_are_read() -> None:
    candidates = nodes(
        "bread", "acid", metadata={"page": 3}, excluded_llm_metadata_keys=["limrank_explanation"]
    )
    reranked = LimRankRerank(reranker=reranker(), keep_retrieval_score=True).postprocess_nodes(
        candidates, query_str=QUERY
    )
    for node in reranked:
        original = candidates[int(node.node.node_id[1:])]
        assert node.node.metadata["retrieval_score"] == original.score
        assert node.node.metadata["limrank_explanation"].startswith("A thought")
        for mode in (MetadataMode.LLM, MetadataMode.EMBED):
            assert node.node.get_content(mode) == original.node.get_content(mode)
        assert node.node.excluded_llm_metadata_keys.count("limrank_explanation") == 1


def test_keeping_no_explanation() -> None:
    reranked = LimRankRerank(reranker=reranker(), keep_explanation=False).postprocess_nodes(
        nodes("a"), query_str=QUERY
    )
    assert reranked[0].node.metadata == {}


def test_marks_of_an_earlier_stage_do_not_survive_the_next() -> None:
    first = rerank().postprocess_nodes(nodes("bad", "acid"), query_str=QUERY)
    assert "limrank_failure" in first[0].node.metadata
    fine = Reranker("limrank", backend=ScriptedBackend(read_labels=lambda p: (1, 0)), reasoning="none")
    second = LimRankRerank(reranker=fine).postprocess_nodes(first, query_str=QUERY)
    assert [node.node.metadata for node in second] == [{}, {}]


def test_every_kind_of_node() -> None:
    candidates: list[NodeWithScore] = [
        NodeWithScore(node=IndexNode(text="bread", index_id="x", obj={"a": 1})),
        NodeWithScore(node=ImageNode(text="acid")),
        NodeWithScore(node=Node(id_="plain")),  # no text at all: the model judges an empty passage
    ]
    reranked = rerank(keep_retrieval_score=True).postprocess_nodes(candidates, query_str=QUERY)
    assert [type(node.node) for node in reranked] == [ImageNode, IndexNode, Node]
    assert reranked[1].node.obj == {"a": 1}
