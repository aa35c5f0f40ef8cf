"""The three assemblies agree question by question, and a reader's accuracy is the retrieval hit rate.

The same over a real book is `tests/data/test_rag_openstax.py`.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")
pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

import rag_accuracy
from haystack_integrations.components.rankers.limrank import LimRankRanker
from rag_accuracy import LETTERS, Quiz, check
from scripts import passage_of, unit

from limrank_plugins import Reranker, ScriptedBackend, backends, samples
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.qrels import read_qrels
from limrank_plugins.retrievers import build_retriever


@pytest.fixture(scope="module")
def quiz() -> Quiz:
    folder = samples.corpus_path().parent
    grades = read_qrels(folder / "qrels.txt")
    queries = [query for query in read_queries(folder / "queries.jsonl") if query.id in grades]
    assert len(queries) > 5
    return Quiz(
        list(read_documents(samples.corpus_path())),
        {query.text: LETTERS[int(4 * unit(query.text))] for query in queries},
        {q.text: frozenset(d for d, grade in grades[q.id].items() if grade > 0) for q in queries},
    )


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge by chance, but always the same, that Haystack's component can name."""

    class Judge(ScriptedBackend):
        def __init__(self, model: str) -> None:
            super().__init__(read_labels=lambda prompt: (6 * unit(passage_of(prompt)), 3.0))

    module = types.ModuleType("scripted_for_agreement")
    module.Judge = Judge  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(backends._BACKENDS, "scripted", (module.__name__, "Judge"))


@pytest.mark.parametrize("top_n", [1, 3])
def test_accuracy_is_the_hit_rate_before_and_after_reranking(quiz: Quiz, scripted: None, top_n: int):
    index, reader = build_retriever("bm25s", quiz.corpus), quiz.reader()

    def assemblies(reranker: Any, ranker: Any) -> dict[str, Any]:
        return {
            "framework-free": rag_accuracy.framework_free(index, reader, reranker, 20, top_n),
            "llama-index": rag_accuracy.llama_index(index, reader, reranker, 20, top_n),
            "haystack": rag_accuracy.haystack(index, reader, ranker, 20, top_n),
        }

    before = check(quiz, assemblies(None, None))
    ranker = LimRankRanker(
        backend="scripted",
        reasoning="none",
        top_k=top_n,
        meta_fields_to_embed=["title"],
        embedding_separator=" ",
    )
    after = check(quiz, assemblies(Reranker("limrank", backend="scripted", reasoning="none"), ranker))
    assert 0 < before < 1
    assert 0 < after < 1
    assert before != after, "the judge changed what is read"
