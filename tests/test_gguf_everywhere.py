"""A GGUF file is named wherever a model is named: core, command line, plug-ins, pipelines, synthesis."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from haystack import Document as HaystackDocument
from haystack_integrations.components.rankers.limrank import LimRankRanker
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.limrank import LimRankRerank
from write_gguf import write

from limrank_pipelines.reader import Reader
from limrank_pipelines.rewriter import Rewriter
from limrank_plugins import Reranker
from limrank_plugins.langchain import LimRankCompressor
from limrank_plugins.ledger import Ledger
from limrank_plugins.store import Store
from limrank_synth.role_requests import RoleRequest, chat_prompt
from limrank_synth.roles import Roles
from limrank_synth.settings import Role, SynthSettings

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
QUERY = "why does milk curdle in tea"
PASSAGES = ["bread rises", "acid curdles milk because the proteins clump", "iron rusts"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("models") / "qwen", "qwen2")


@pytest.fixture(scope="module")
def file(folder: Path) -> str:
    return str(write(folder, folder.parent / "limrank.gguf", template=TEMPLATE))


@pytest.fixture(scope="module")
def scores(folder: Path) -> dict[str, float]:
    """What the same weights give out of their folder."""
    ranking = Reranker("limrank", str(folder), reasoning="none", device="cpu").rank(QUERY, PASSAGES)
    return {PASSAGES[hit.index]: pytest.approx(hit.score, abs=1e-6) for hit in ranking.hits}


def test_core(file: str, scores: dict[str, float]) -> None:
    ranking = Reranker("limrank", file, reasoning="none", device="cpu").rank(QUERY, PASSAGES)
    assert {PASSAGES[hit.index]: hit.score for hit in ranking.hits} == scores


def test_llama_index(file: str, scores: dict[str, float]) -> None:
    nodes = [NodeWithScore(node=TextNode(text=passage)) for passage in PASSAGES]
    made = LimRankRerank(recipe="limrank", model=file, reasoning="none", top_n=3)
    found = made.postprocess_nodes(nodes, query_str=QUERY)
    assert {node.text: node.score for node in found} == scores


def test_haystack(file: str, scores: dict[str, float]) -> None:
    first = LimRankRanker(recipe="limrank", model=file, reasoning="none", top_k=3)
    again = LimRankRanker.from_dict(first.to_dict())
    again.warm_up()
    found = again.run(query=QUERY, documents=[HaystackDocument(content=passage) for passage in PASSAGES])
    assert {document.content: document.score for document in found["documents"]} == scores


def test_langchain(file: str, scores: dict[str, float]) -> None:
    made = LimRankCompressor(recipe="limrank", model=file, options={"reasoning": "none"})
    found = made.compress_documents([LangChainDocument(passage) for passage in PASSAGES], QUERY)
    assert {document.page_content: document.metadata["relevance_score"] for document in found} == scores


def test_readers_and_rewriters(file: str) -> None:
    rewrite = Rewriter("reasoning", file, max_tokens=8, device="cpu").rewrite(QUERY)
    assert rewrite.query.text.startswith(QUERY) or rewrite.failures
    answer = Reader(file, max_tokens=8, device="cpu").read(QUERY, PASSAGES)
    assert answer.usage.prompt_tokens > 50


def test_a_role_of_the_synthesizer(file: str, tmp_path: Path) -> None:
    role = Role(file, backend="transformers", max_tokens=8, options={"device": "cpu"})
    request = RoleRequest("writer", chat_prompt(("system", "s"), ("user", "u")))
    with Store(tmp_path / "ledger.sqlite") as store:
        roles = Roles(SynthSettings({"writer": role}), Ledger(store), environment={})
        to = roles.addressed(request)
        (reply,) = asyncio.run(to.backend.generate([to.request]))  # type: ignore[attr-defined]
        roles.close()
    assert reply.usage.generated_tokens == 8


def test_the_command_line_and_a_file_of_a_repository(
    file: str, scores: dict[str, float], tmp_path: Path
) -> None:
    """The hub's own cache stands for the hub: the repository's snapshot is in it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--someone--tiny-GGUF"
    (cached / "snapshots" / commit).mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    os.link(file, cached / "snapshots" / commit / "tiny-F32.gguf")
    texts = [f"{passage} in tea" for passage in PASSAGES]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": text, "text": text}) + "\n" for text in texts))
    program = [str(Path(sys.executable).with_name("limrank")), "search", str(corpus), "tea"]
    program += ["--recipe", "limrank", "--reasoning", "none", "--device", "cpu", "--json"]
    program += ["--template", "limrank"]  # by this name nothing says that it was trained with it
    done = subprocess.run(
        [*program, "--model", "someone/tiny-GGUF:tiny-F32.gguf"],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub")},
    )
    assert done.returncode == 0, done.stderr
    assert "quantizing" not in done.stderr
    ranking = Reranker("limrank", file, reasoning="none", device="cpu").rank("tea", texts)
    wanted = {texts[hit.index]: pytest.approx(hit.score, abs=1e-5) for hit in ranking.hits}
    assert {hit["id"]: hit["score"] for hit in json.loads(done.stdout)["hits"]} == wanted
