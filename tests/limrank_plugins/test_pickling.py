"""Rerankers and indexes travel to other processes and are copied, before their first use and after."""

from __future__ import annotations

import copy
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limrank_plugins import Reranker, ScriptedBackend
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.retrievers import build_retriever, load_retriever

PASSAGES = ["Bread rises.", "Acid curdles milk."]


@pytest.mark.parametrize("name", ["bm25s", "rank_bm25"])
def test_an_index_finds_the_same_after_a_pickle_and_a_copy(name: str):
    if name == "rank_bm25":
        pytest.importorskip("rank_bm25", reason="pip install 'limrank[rank-bm25]'")
    index = build_retriever(name, PASSAGES)
    for again in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), copy.copy(index)):
        assert [document.id for document in again.search("curdled milk")] == ["1"]


def same(index: Any, query: str = "curdled milk") -> None:
    for again in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), copy.copy(index)):
        assert again.search(query, 1) == index.search(query, 1)
        assert [document.id for document in again.search(query, 1)] == ["1"]


def test_an_index_that_lies_open_is_pickled_as_its_folder(tmp_path: Path):
    build_retriever("bm25s", [*PASSAGES, *("tea " * 50 for _ in range(200))]).save(tmp_path / "index")
    index = load_retriever(tmp_path / "index", mmap=True)
    same(index)
    data = pickle.dumps(index)
    assert len(data) < 1000
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(InputError, match="there is no index at"):
        pickle.loads(data)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_dense_index_makes_its_encoder_again(tmp_path: Path, mmap: bool):
    pytest.importorskip("sentence_transformers", reason="pip install 'limrank[mini]'")
    index = build_retriever("dense", PASSAGES)
    if mmap:
        index.save(tmp_path / "index")
        index = load_retriever(tmp_path / "index", mmap=True)
    same(index)
    again = pickle.loads(pickle.dumps(index))
    assert again.backend.identity == index.backend.identity
    copy.deepcopy(index).close()  # the encoder is the original's
    assert [document.id for document in index.search("curdled milk", 1)] == ["1"]
    again.close()
    with pytest.raises(BackendError):
        again.search("curdled milk")


def encoder(text: str, role: str) -> list[float]:
    return [float("milk" in text), 1.0]


def test_a_dense_index_with_a_backend_of_yours_needs_one_that_can_be_pickled():
    index = build_retriever("dense", PASSAGES, backend=ScriptedBackend(encode=encoder))
    assert copy.deepcopy(index).backend is index.backend
    with pytest.raises(TypeError, match=r"as its backend 'scripted' cannot .*load it .* with backend="):
        pickle.dumps(index)


@pytest.mark.lucene
def test_a_lucene_index_is_pickled_as_its_folder_or_refused(tmp_path: Path):
    pytest.importorskip("pyserini", reason="pip install 'limrank[pyserini]'")
    index = build_retriever("lucene", PASSAGES)
    with pytest.raises(TypeError, match="it lies in a temporary folder: save"):
        pickle.dumps(index)
    shared = copy.deepcopy(index)
    assert [document.id for document in shared.search("curdled milk")] == ["1"]
    index.save(tmp_path / "index")
    same(index)
    for mmap in (False, True):
        same(load_retriever(tmp_path / "index", mmap=mmap))


@pytest.mark.parametrize("query", ["?key=sk-secret", "?sk-secret", "?api-version=1&sig=sk-secret"])
def test_an_address_with_a_key_is_in_no_pickle(query: str):
    pytest.importorskip("openai", reason="pip install 'limrank[openai]'")
    made = Reranker("limrank", "m", "openai", base_url=f"http://localhost:9/v1{query}")
    with pytest.raises(ValueError, match="OPENAI_BASE_URL") as caught:
        pickle.dumps(made)
    assert "sk-secret" not in str(caught.value)
    versioned = Reranker("limrank", "m", "openai", base_url="http://localhost:9/v1?api-version=1")
    assert pickle.loads(pickle.dumps(versioned)).identity == versioned.identity


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
        ("limrank_pipelines.llama_index", "llama_index.core", "llama-index"),
        ("limrank_pipelines.haystack", "haystack", "haystack"),
        ("limrank_pipelines.haystack_parts", "haystack", "haystack"),
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
