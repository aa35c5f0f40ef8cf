"""What a reranker is called in results."""

from __future__ import annotations

import pytest
import scripts
from servers import LoopbackServer, toy

from limrank_evals.evaluation.systems import describe
from limrank_plugins import Reranker


def test_reasoning_and_sampling_are_told():
    plain = describe(scripts.reranker("limrank", max_reasoning_tokens=64))
    assert (plain.name, plain.recipe, plain.prompts) == ("limrank", "limrank", "none")
    assert plain.backend == "scripted, reasoning full, at most 64 tokens"
    several = describe(scripts.reranker("limrank", samples=4, seed=3, cut_to_sentence=False))
    assert several.backend == (
        "scripted, reasoning full, at most 8192 tokens, thoughts not cut to sentences, 4 samples, "
        "temperature 0.7, top-p 0.95, seed 3"
    )
    assert describe(scripts.reranker("limrank", reasoning="none")).name == "limrank, reasoning none"
    assert describe(scripts.reranker("setwise")).backend == "scripted"
    auto = describe(scripts.reranker("limrank", reasoning="auto", budget="9 documents"))
    assert auto.name.endswith(", reasoning auto within 9 documents")
    assert auto.backend.endswith("; budget 9 documents")


def test_how_long_documents_are_judged_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("limrank_plugins.arguments.check_splitter", lambda: None)
    described = describe(scripts.reranker("qwen3-reranker", chunks="max:9 words"))
    assert described.backend == "scripted, long documents by their pieces (max:9 words)"


def test_instructions_are_named_or_hashed():
    assert describe(scripts.reranker("limrank", instruction="beir/fiqa")).prompts.startswith("beir/fiqa, in ")
    own = [describe(scripts.reranker("limrank", instruction=f"{text}: {{{{ query }}}}")) for text in "ab"]
    assert all(one.prompts.startswith("own text ") for one in own)
    assert own[0].prompts != own[1].prompts


def test_parts_are_all_named():
    both = describe(scripts.reranker("cascade:first=prior,then=limrank"))
    assert both.recipe == "cascade:first=prior,then=limrank"
    assert "scripted, reasoning full" in both.backend


def test_a_served_model_is_called_by_its_name_and_not_by_its_address():
    with LoopbackServer(toy) as server:
        reranker = Reranker("limrank", "some/model", "openai", base_url=server.url, api_key="sk-secret")
        told = describe(reranker)
        reranker.close()
    assert told.model == "some/model"
    assert "127.0.0.1" not in repr(told)
    assert "sk-secret" not in repr(told)
