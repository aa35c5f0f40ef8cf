"""`chunks=` from wherever a reranker is asked: the command line, LlamaIndex, Haystack, LangChain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_encoders

from limrank_plugins import Reranker, ScriptedBackend
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
    assert "the one that decided, of " in " ".join(shown.out.split())
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


@pytest.mark.parametrize("layout", ["{metadata_str}\n\n{content}", "{content} {metadata_str}", "<{content}>"])
@pytest.mark.parametrize("around", ["", " \n"])
def test_llama_index_metadata_stands_with_every_piece(layout: str, around: str):
    pytest.importorskip("llama_index.core")
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    read: list[str] = []

    def score(query: str, passage: str) -> float:
        read.append(passage)
        return float("Acid" in passage)

    backend = ScriptedBackend(score_pairs=score)
    rerank = LimRankRerank(reranker=Reranker("cross-encoder", backend=backend, chunks="max:6 words"))
    sentences = [
        "Bread rises when yeast makes gas.",
        "Rivers carve valleys.",
        "Acid curdles the milk in tea.",
    ]
    text = f"{around}{' '.join(sentences)}{around}"
    node = TextNode(text=text, metadata={"source": "tea.pdf"}, text_template=layout)
    (found,) = rerank.postprocess_nodes([NodeWithScore(node=node, score=1.0)], query_str=QUERY)
    piece = found.metadata["limrank_piece"]
    assert piece["text"] == text[piece["start"] : piece["end"]]
    assert (piece["text"].strip(), piece["of"]) == (sentences[-1], len(sentences))
    wanted = [layout.format(metadata_str="source: tea.pdf", content=sentence) for sentence in sentences]
    assert ["".join(passage.split()) for passage in read] == ["".join(text.split()) for text in wanted]


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

    options |= {"chunks": "first:8 words", "meta_fields_to_embed": ["source"]}
    ranker = LimRankRanker(recipe="cross-encoder", model=folder, **options)
    found = ranker.run(QUERY, [Document(id="long", content=LONG, meta={"source": "tea-handbook.pdf"})])
    (piece,) = found["meta"]["pieces"].values()
    assert piece["text"] == LONG[piece["start"] : piece["end"]]
    assert piece["text"].strip() == "Bread rises when yeast makes gas."


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
