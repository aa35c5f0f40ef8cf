"""Rerankers and indexes travel to other processes and are copied, before their first use and after."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

from limrank_plugins import Reranker, ScriptedBackend
from limrank_plugins.prompts import load_template
from limrank_plugins.retrievers import build_retriever

PASSAGES = ["Bread rises.", "Acid curdles milk."]


@pytest.mark.parametrize("name", ["bm25s", "rank_bm25"])
def test_an_index_finds_the_same_after_a_pickle_and_a_copy(name: str):
    if name == "rank_bm25":
        pytest.importorskip("rank_bm25", reason="pip install 'limrank[rank-bm25]'")
    index = build_retriever(name, PASSAGES)
    for again in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), copy.copy(index)):
        assert [document.id for document in again.search("curdled milk")] == ["1"]


@pytest.mark.parametrize("used", [False, True])
def test_a_reranker_ranks_the_same_after_a_pickle_and_a_copy(used: bool):
    reranker = Reranker("prior")
    if used:
        reranker.rank("milk", PASSAGES)
    for again in (pickle.loads(pickle.dumps(reranker)), copy.deepcopy(reranker), copy.copy(reranker)):
        assert again.rank("milk", PASSAGES).ids == reranker.rank("milk", PASSAGES).ids
        assert again.identity == reranker.identity


def test_a_pickled_reranker_holds_no_key_and_is_made_at_its_first_use():
    pytest.importorskip("openai", reason="pip install 'limrank[openai]'")
    made = Reranker("limrank", "m", "openai", api_key="sk-secret", base_url="http://localhost:9/v1")
    data = pickle.dumps(made)
    assert b"sk-secret" not in data
    again = pickle.loads(data)
    assert "backend" not in vars(again)
    again.close()
    assert "backend" not in vars(again)
    assert again.identity == made.identity


def test_a_template_and_parts_survive():
    template = load_template("graded")
    changed = pickle.loads(pickle.dumps(Reranker("prior").with_template(template)))
    assert changed.template == template
    combined = Reranker.combined("vote", Reranker("prior"))
    again = pickle.loads(pickle.dumps(combined))
    assert again.recipe.name == combined.recipe.name
    assert again.rank("milk", PASSAGES).ids == combined.rank("milk", PASSAGES).ids


def test_a_backend_that_cannot_be_pickled_is_said():
    backend = ScriptedBackend(read_labels=lambda prompt: [0.0, 0.0])
    reranker = Reranker("limrank", backend=backend, reasoning="none")
    with pytest.raises(TypeError, match="name recipe, model and backend"):
        pickle.dumps(reranker)
    assert copy.deepcopy(reranker).backend is reranker.backend


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("llama_index.postprocessor.limrank", "llama_index.core", "llama-index"),
        ("llama_index.retrievers.limrank", "llama_index.core", "llama-index"),
        ("haystack_integrations.components.rankers.limrank", "haystack", "haystack"),
        ("haystack_integrations.components.retrievers.limrank", "haystack", "haystack"),
        ("limrank_plugins.langchain", "langchain_core", "langchain"),
    ],
)
def test_a_missing_framework_is_one_sentence(module: str, missing: str, extra: str):
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {missing!r} or name.startswith({missing + '.'!r}):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        f"import {module}\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("limrank_plugins.errors.MissingExtra"), ended.stderr
    assert f"pip install 'limrank[{extra}]'" in last
