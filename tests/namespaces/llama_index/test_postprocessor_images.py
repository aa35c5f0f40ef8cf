"""Nodes with images: shown to models that see, never dropped silently."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core.schema import ImageNode, MediaResource, Node, NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.limrank import LimRankRerank
from scripted_nodes import QUERY, relevance

from limrank_plugins import Reranker, ScriptedBackend
from limrank_plugins.backends.encoder import EncoderBackend
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt

PNG = b"\x89PNG\r\n\x1a\n" + b"red"
GIF = b"GIF89a" + b"greener"


def run(*nodes: Any) -> tuple[list[NodeWithScore], ScriptedBackend]:
    def read(prompt: Prompt) -> tuple[float, float]:
        return (float(sum(len(image.data) for image in prompt.images)), 10.0)

    backend = ScriptedBackend(read_labels=read)
    rerank = LimRankRerank(reranker=Reranker("ragvl", backend=backend))
    return rerank.postprocess_nodes([NodeWithScore(node=n) for n in nodes], query_str=QUERY), backend


def test_images_of_nodes_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.gif"
    file.write_bytes(GIF)
    found, backend = run(
        TextNode(text="plain", id_="t"),
        ImageNode(text="inline", id_="i", image=base64.b64encode(PNG).decode()),
        ImageNode(text="file", id_="f", image_path=str(file)),
        Node(id_="n", image_resource=MediaResource(data=PNG + b"dish")),
    )
    assert [node.node.node_id for node in found] == ["n", "f", "i", "t"]
    seen = [request.prompt.images for request in backend.requests]
    assert seen == [(), (Image(PNG),), (Image(GIF),), (Image(PNG + b"dish"),)]


@pytest.mark.parametrize(
    ("node", "match"),
    [
        (
            ImageNode(text="x", id_="odd", image_url="https://me:pw@example.invalid/a.png?sig=secret"),
            "https://example.invalid/a.png is an address, which is not fetched",
        ),
        (ImageNode(text="x", id_="odd", image_path="/gone/a.png"), "cannot be read"),
        (ImageNode(text="x", id_="odd", image=base64.b64encode(b"BM no").decode()), "must be PNG"),
        (ImageNode(text="x", id_="odd", image="no base64!"), "base64 cannot be read"),
        (Node(id_="odd", image_resource=MediaResource(data=b"BM no")), "must be PNG"),
        (Node(id_="odd", video_resource=MediaResource(data=b"film")), "neither sound nor video is read"),
    ],
)
@pytest.mark.parametrize("path", ["sync", "async"])
def test_an_image_that_cannot_be_shown_is_one_failed_node(
    node: Any, match: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    rerank = LimRankRerank(reranker=Reranker("ragvl", backend=ScriptedBackend(read_labels=relevance)))
    nodes = [NodeWithScore(node=n) for n in (TextNode(text="bread"), node, TextNode(text="acid"))]
    if path == "sync":
        found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    else:
        found = asyncio.run(rerank.apostprocess_nodes(nodes, QueryBundle(QUERY)))
    assert [n.node.get_content() for n in found[::2]] == ["acid", "bread"]
    assert found[1].node.node_id == "odd"
    assert found[1].score is None
    assert match in found[1].node.metadata["limrank_failure"]
    assert "1 of 3 nodes could not be judged" in caplog.text
    assert "'odd'" in caplog.text
    assert "secret" not in caplog.text + str(found[1].node.metadata)


def test_data_urls_and_broken_lines_are_images() -> None:
    encoded = base64.b64encode(PNG).decode()
    found, backend = run(
        ImageNode(text="url", image_url=f"data:image/png;base64,{encoded}"),
        ImageNode(text="lines", image=f"{encoded[:8]}\n{encoded[8:]}\n"),
    )
    assert [request.prompt.images for request in backend.requests] == [(Image(PNG),)] * 2
    assert all(node.score is not None for node in found)


def test_models_that_cannot_see_judge_the_caption() -> None:
    encoded = base64.b64encode(PNG).decode()
    rerank = LimRankRerank(reranker=Reranker("mini", backend=EncoderBackend("mini")))
    given = [
        TextNode(text="bread", id_="t"),
        ImageNode(text="bread", id_="captioned", image=encoded),
        ImageNode(text="", id_="bare", image=encoded, metadata={"file_path": "bread.png"}),
    ]
    found = rerank.postprocess_nodes([NodeWithScore(node=n) for n in given], query_str=QUERY)
    by_id = {node.node.node_id: node for node in found}
    assert by_id["captioned"].score == by_id["t"].score
    assert by_id["bare"].score is None
    assert "cannot see, and no caption" in by_id["bare"].node.metadata["limrank_failure"]
