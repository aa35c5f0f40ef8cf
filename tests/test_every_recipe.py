"""Every recipe through every door: command line, LlamaIndex, Haystack, LangChain. No door knows any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripts import full_backend
from typer.testing import CliRunner

from limrank_plugins import ScriptedBackend, load_recipe, recipe_names

TEXTS = [f"passage number {i}" for i in range(7)]
every = pytest.mark.parametrize("recipe", recipe_names())


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever backend a recipe names is a script that can be asked everything."""

    class Built(ScriptedBackend):
        def __init__(self, model: str = "", **options: Any) -> None:
            scripts = full_backend()._scripts
            super().__init__(**scripts)

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Built)


@every
def test_command_line(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from limrank_plugins.cli import build_app

    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    corpus, queries, run = tmp_path / "c.jsonl", tmp_path / "q.jsonl", tmp_path / "run.jsonl"
    corpus.write_text("".join(json.dumps({"_id": f"d{i}", "text": t}) + "\n" for i, t in enumerate(TEXTS)))
    queries.write_text('{"_id": "q1", "text": "which passage number"}\n')
    said = ["rerank", "-q", str(queries), "-c", str(corpus), "-o", str(run), "--recipe", recipe, "--json"]
    done = CliRunner().invoke(build_app(), said)
    assert done.exit_code == 0, done.output
    record = json.loads(run.read_text())
    assert sorted(hit["id"] for hit in record["hits"]) == [f"d{i}" for i in range(len(TEXTS))]
    assert (record["recipe"], record["failures"]) == (recipe, [])


@every
def test_llama_index(recipe: str):
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    nodes = [
        NodeWithScore(node=TextNode(text=t, id_=str(i)), score=1.0 / (i + 1)) for i, t in enumerate(TEXTS)
    ]
    found = LimRankRerank(recipe=recipe, top_n=3).postprocess_nodes(nodes, query_str="which passage number")
    assert len(found) == 3
    assert all("limrank_failure" not in node.node.metadata for node in found)
    assert {node.score is None for node in found} == {load_recipe(recipe).score_kind == "rank"}


@every
def test_haystack(recipe: str):
    from haystack import Document
    from haystack_integrations.components.rankers.limrank import LimRankRanker

    documents = [Document(content=text, score=1.0 / (i + 1)) for i, text in enumerate(TEXTS)]
    found = LimRankRanker(recipe=recipe, top_k=3).run(query="which passage number", documents=documents)
    assert len(found["documents"]) == 3
    assert found["meta"]["failures"] == []


@every
def test_langchain(recipe: str):
    from langchain_core.documents import Document

    from limrank_plugins.langchain import LimRankCompressor

    documents = [Document(page_content=text) for text in TEXTS]
    found = LimRankCompressor(recipe=recipe, top_n=3).compress_documents(documents, "which passage number")
    assert len(found) == 3


@every
def test_docs_say_what_its_scores_are(recipe: str):
    docs = Path(__file__).parent.parent / "docs" / "scores.md"
    assert f"`{load_recipe(recipe).score_kind}`" in docs.read_text(encoding="utf-8")
