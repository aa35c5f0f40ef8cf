"""The backend is named wherever one is named, and serves what a chat model serves as transformers does."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from haystack import Document as HaystackDocument
from haystack_integrations.components.rankers.limrank import LimRankRanker
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.limrank import LimRankRerank
from write_gguf import write

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: tests/compat/run_llama_cpp installs it")

from limrank_evals.zoo.served import why_not
from limrank_pipelines.reader import Reader
from limrank_plugins import Reranker
from limrank_plugins.langchain import LimRankCompressor
from limrank_plugins.ledger import Ledger
from limrank_plugins.recipes import load_recipe, recipe_names
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
OPTIONS: dict[str, Any] = {"threads": 1, "kv_cache_dtype": "float32"}
SERVED = [name for name in recipe_names() if not why_not(load_recipe(name), "llama-cpp", "none")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    words = "Yes No yes no A B C D E F G H I J K L M N O P Q R S T U V W X Y Z [A] [B] 0 1 2 3 4 5"
    words += "\nyes\nno" * 2
    folder = tmp_path_factory.mktemp("models") / "qwen"
    tokens = tiny.qwen_tokenizer(words=words)
    tiny.build(folder, intermediate_size=64, tokens=tokens, max_position_embeddings=4096)
    return str(write(folder, folder.parent / "limrank.gguf", template=TEMPLATE))


@pytest.fixture(scope="module")
def scores(file: str) -> dict[str, Any]:
    ranking = Reranker("limrank", file, reasoning="none", device="cpu").rank(QUERY, PASSAGES)
    return {PASSAGES[hit.index]: pytest.approx(hit.score, abs=1e-5) for hit in ranking.hits}


def test_all_that_is_asked_of_a_chat_model_is_served() -> None:
    """All but attention, which llama.cpp does not show."""
    asked = {name for name in recipe_names() if not why_not(load_recipe(name), "transformers", "none")}
    assert asked - set(SERVED) == {"icr"}
    assert "it needs a backend that can show its attention" in why_not(
        load_recipe("icr"), "llama-cpp", "none"
    )


@pytest.mark.parametrize("recipe", SERVED)
def test_a_recipe_ranks_as_on_transformers(file: str, recipe: str) -> None:
    settings: dict[str, Any] = {"max_reasoning_tokens": 12} if load_recipe(recipe).reasoning else {}
    ours = Reranker(recipe, file, "llama-cpp", **settings, **OPTIONS, grammar=False).rank(QUERY, PASSAGES)
    theirs = Reranker(recipe, file, "transformers", **settings, device="cpu").rank(QUERY, PASSAGES)
    assert ours.ids == theirs.ids
    assert len(ours.failures) == len(theirs.failures)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.score == pytest.approx(other.score, abs=1e-3)
        assert mine.explanation == other.explanation


def test_llama_index(file: str, scores: dict[str, Any]) -> None:
    nodes = [NodeWithScore(node=TextNode(text=passage)) for passage in PASSAGES]
    options: dict[str, Any] = {"reasoning": "none", "top_n": 3, "backend_options": OPTIONS}
    made = LimRankRerank(recipe="limrank", model=file, backend="llama-cpp", **options)
    assert {n.text: n.score for n in made.postprocess_nodes(nodes, query_str=QUERY)} == scores
    later = asyncio.run(made.apostprocess_nodes(nodes, query_str=QUERY))
    assert {node.text: node.score for node in later} == scores


def test_haystack(file: str, scores: dict[str, Any]) -> None:
    options: dict[str, Any] = {"reasoning": "none", "top_k": 3, "model_kwargs": OPTIONS}
    first = LimRankRanker(recipe="limrank", model=file, backend="llama-cpp", **options)
    again = LimRankRanker.from_dict(first.to_dict())
    again.warm_up()
    found = again.run(query=QUERY, documents=[HaystackDocument(content=passage) for passage in PASSAGES])
    assert {document.content: document.score for document in found["documents"]} == scores


def test_langchain(file: str, scores: dict[str, Any]) -> None:
    options = {"reasoning": "none", **OPTIONS}
    made = LimRankCompressor(recipe="limrank", model=file, backend="llama-cpp", options=options)
    found = made.compress_documents([LangChainDocument(passage) for passage in PASSAGES], QUERY)
    assert {document.page_content: document.metadata["relevance_score"] for document in found} == scores


def test_a_reader_and_a_role_of_the_synthesizer(file: str, tmp_path: Path) -> None:
    answer = Reader(file, backend="llama-cpp", max_tokens=8, threads=1).read(QUERY, PASSAGES)
    assert answer.usage.prompt_tokens > 50
    role = Role(file, backend="llama-cpp", max_tokens=8, options={"threads": 1})
    request = RoleRequest("writer", chat_prompt(("system", "s"), ("user", "u")))
    with Store(tmp_path / "ledger.sqlite") as store:
        roles = Roles(SynthSettings({"writer": role}), Ledger(store), environment={})
        to = roles.addressed(request)
        (reply,) = asyncio.run(to.backend.generate([to.request]))  # type: ignore[attr-defined]
        roles.close()
    assert 0 < reply.usage.generated_tokens <= 8


def test_the_command_line(file: str, scores: dict[str, Any], tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    texts = [f"{passage} in tea" for passage in PASSAGES]
    corpus.write_text("".join(json.dumps({"_id": text, "text": text}) + "\n" for text in texts))
    program = [sys.executable, "-m", "limrank_plugins", "search", str(corpus), "tea", "--recipe", "limrank"]
    program += ["--reasoning", "none", "--device", "cpu", "--json", "--model", file, "--backend", "llama-cpp"]
    program += ["--option", "threads=1", "--option", "kv_cache_dtype=float32"]
    done = subprocess.run(program, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "llama" not in done.stderr, "nothing that llama.cpp prints"
    ranking = Reranker("limrank", file, reasoning="none", device="cpu").rank("tea", texts)
    wanted = {texts[hit.index]: pytest.approx(hit.score, abs=1e-5) for hit in ranking.hits}
    assert {hit["id"]: hit["score"] for hit in json.loads(done.stdout)["hits"]} == wanted
