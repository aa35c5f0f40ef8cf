"""Nodes with images: shown to models that see, never dropped silently."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core.schema import ImageNode, MediaResource, Node, NodeWithScore, TextNode
from llama_index.postprocessor.limrank import LimRankRerank
from scripted_nodes import QUERY

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
        (ImageNode(text="x", id_="odd", image_url="https://example.invalid/a.png"), "odd.*not fetched"),
        (ImageNode(text="x", id_="odd", image_path="/gone/a.png"), "odd.*cannot be read"),
        (ImageNode(text="x", id_="odd", image=base64.b64encode(b"BM no").decode()), "odd.*must be PNG"),
        (ImageNode(text="x", id_="odd", image="no base64!"), "odd"),
    ],
)
def test_an_image_that_cannot_be_shown_is_named(node: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        run(TextNode(text="fine"), node)


def test_models_that_cannot_see_mark_the_node() -> None:
    image_node = ImageNode(text="b", id_="p", image=base64.b64encode(PNG).decode())
    rerank = LimRankRerank(reranker=Reranker("mini", backend=EncoderBackend("mini")))
    found = rerank.postprocess_nodes(
        [NodeWithScore(node=TextNode(text="a")), NodeWithScore(node=image_node)], query_str=QUERY
    )
    marks = {node.node.node_id: node.node.metadata.get("limrank_failure") for node in found}
    assert "cannot see" in marks["p"]
    assert sum(mark is not None for mark in marks.values()) == 1
