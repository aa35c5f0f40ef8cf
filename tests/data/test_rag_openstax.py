"""RAG over a real book: accuracy is the retrieval hit rate exactly, in all three assemblies.

Psychology 2e (OpenStax) with its own 311 multiple-choice questions; gold is every passage of the
question's own section. The reader is scripted: right exactly where a gold passage is before it.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from needs import needs_mini

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")
pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

import rag_accuracy
from haystack_integrations.components.rankers.limrank import LimRankRanker
from rag_accuracy import LETTERS, Quiz, check

from limrank_pipelines import HybridRetriever
from limrank_plugins import Document, Reranker, Store
from limrank_plugins.retrievers import build_retriever

pytestmark = [pytest.mark.data("openstax_psychology"), needs_mini]


@pytest.fixture(scope="module")
def quiz() -> Quiz:
    if "LIMRANK_DATA" not in os.environ:
        pytest.skip("name the folder of the collections: LIMRANK_DATA=...")
    folder = Path(os.environ["LIMRANK_DATA"]) / "openstax_psychology"

    def rows(name: str) -> Iterator[dict[str, Any]]:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
            yield from (json.loads(line) for line in stream)

    corpus, seen = [], set()
    for row in rows("corpus"):
        document = Document(row["text"], id=row["_id"], title=row["title"])
        if document.passage not in seen:  # a text alone must say which passage it is
            seen.add(document.passage)
            corpus.append(document)
    questions = {row["question"]: row for row in rows("mcq")}
    return Quiz(
        corpus,
        {text: row["answer"] for text, row in questions.items()},
        {
            text: frozenset(d.id or "" for d in corpus if (d.id or "").startswith(row["module"]))
            for text, row in questions.items()
        },
    )


@pytest.mark.parametrize("first", ["bm25s", "hybrid"])
def test_accuracy_is_the_hit_rate_before_and_after_reranking(quiz: Quiz, first: str, tmp_path: Path) -> None:
    assert len(quiz.corpus) > 1300
    assert len(quiz.key) > 300
    assert set(quiz.key.values()) <= set(LETTERS)
    assert all(quiz.gold.values())
    if first == "hybrid":
        # Two ways to read words: what is under test is the assembly, not the encoder.
        options = {"rank_bm25": {"stemmer": None}}
        index: Any = HybridRetriever.build(quiz.corpus, parts=("bm25s", "rank_bm25"), options=options)
    else:
        index = build_retriever("bm25s", quiz.corpus)
    reader = quiz.reader()
    # Vectors of passages are kept: a passage comes up for many questions, in each assembly.
    with Store(tmp_path / "vectors.sqlite") as store:
        reranker = Reranker("mini", store=store)
        ranker = LimRankRanker(
            recipe="mini",
            top_k=3,
            meta_fields_to_embed=["title"],
            embedding_separator=" ",
            cache_path=str(tmp_path / "vectors.sqlite"),
        )

        def accuracy(ours: Any, theirs: Any) -> float:
            return check(
                quiz,
                {
                    "framework-free": rag_accuracy.framework_free(index, reader, ours, 20, 3),
                    "llama-index": rag_accuracy.llama_index(index, reader, ours, 20, 3),
                    "haystack": rag_accuracy.haystack(index, reader, theirs, 20, 3),
                },
            )

        before, after = accuracy(None, None), accuracy(reranker, ranker)
        reranker.close()
    assert before < after < 1, (before, after)
