"""`chunks=` from wherever a reranker is asked: the command line, LlamaIndex, Haystack, LangChain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_encoders

from limrank_plugins import Reranker
from limrank_plugins.cli.search import search

QUERY = tiny_encoders.QUERY
LONG = "Bread rises when yeast makes gas. Rivers carve valleys. Acid curdles the milk in tea. " * 4
SHORT = "Iron rusts in moist air."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    return str(tiny_encoders.cross_encoder(tmp_path_factory.mktemp("models") / "ce"))


@pytest.fixture(scope="module")
def wanted(folder: str) -> tuple[dict[str, float], str]:
    """The scores by text, and the piece that decided about the long one."""
    ranking = Reranker("cross-encoder", folder, device="cpu", chunks="max").rank(QUERY, [LONG, SHORT])
    (piece,) = [hit.piece for hit in ranking if hit.piece is not None]
    scores = {hit.document.text: hit.score for hit in ranking if hit.score is not None}
    assert piece.text in LONG
    assert len(scores) == 2
    return scores, piece.text


def test_the_command_line(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": t[:4], "text": t}) + "\n" for t in (LONG, SHORT)))
    asked = {"recipe": "cross-encoder", "model": folder, "device": "cpu"}
    search(str(corpus), f"{QUERY} iron", **asked, chunks="max")
    shown = capsys.readouterr()
    assert "by this one of" in " ".join(shown.out.split())
    assert "longer than the model reads" not in shown.err
    search(str(corpus), f"{QUERY} iron", **asked)
    told = "1 of 2 documents was longer than the model reads (--chunks max judges such by their best piece)"
    assert told in capsys.readouterr().err


def test_llama_index(folder: str, wanted: tuple[dict[str, float], str]):
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    rerank = LimRankRerank(recipe="cross-encoder", model=folder, device="cpu", chunks="max")
    assert LimRankRerank(**rerank.model_dump(exclude={"class_name"})).chunks == "max"
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in (LONG, SHORT)]
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert {n.node.get_content(): n.score for n in found} == pytest.approx(wanted[0])
    (long,) = [node for node in found if "limrank_piece" in node.metadata]
    assert long.metadata["limrank_piece"]["text"] == wanted[1]
    assert "limrank_piece" in long.node.excluded_llm_metadata_keys


def test_haystack(folder: str, wanted: tuple[dict[str, float], str]):
    pytest.importorskip("haystack")
    from haystack import Document
    from haystack_integrations.components.rankers.limrank import LimRankRanker

    options = {"model_kwargs": {"dtype": "float32"}, "chunks": "max"}
    ranker = LimRankRanker.from_dict(LimRankRanker(recipe="cross-encoder", model=folder, **options).to_dict())
    documents = [Document(id=name, content=text) for name, text in (("long", LONG), ("short", SHORT))]
    found = ranker.run(QUERY, documents)
    assert {d.content: d.score for d in found["documents"]} == pytest.approx(wanted[0])
    assert {name: piece["text"] for name, piece in found["meta"]["pieces"].items()} == {"long": wanted[1]}


def test_langchain(folder: str, wanted: tuple[dict[str, float], str]):
    pytest.importorskip("langchain_core")
    from langchain_core.documents import Document

    from limrank_plugins.langchain import LimRankCompressor

    options = {"device": "cpu", "chunks": "max"}
    compressor = LimRankCompressor(recipe="cross-encoder", model=folder, options=options)
    found = compressor.compress_documents([Document(LONG), Document(SHORT)], QUERY)
    assert {d.page_content: d.metadata["relevance_score"] for d in found} == pytest.approx(wanted[0])
    (piece,) = [d.metadata["limrank_piece"]["text"] for d in found if "limrank_piece" in d.metadata]
    assert piece == wanted[1]
