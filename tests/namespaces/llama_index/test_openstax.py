"""A query engine over a whole book, before and after the one line that adds `LimRankRerank`."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import TextNode
from llama_index.postprocessor.limrank import LimRankRerank
from llama_index.retrievers.limrank import LimRankBM25Retriever


@pytest.mark.data("openstax_psychology")
async def test_openstax_passages_before_and_after_reranking(tmp_path: Path) -> None:
    """The embedded default, on a third of a book's questions: more first passages from the right module."""
    if "LIMRANK_DATA" not in os.environ:
        pytest.skip("name the folder of the collections: LIMRANK_DATA=...")
    folder = Path(os.environ["LIMRANK_DATA"]) / "openstax_psychology"

    def rows(name: str) -> list[dict[str, Any]]:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    nodes = [TextNode(id_=r["_id"], text=r["text"], metadata={"title": r["title"]}) for r in rows("corpus")]
    LimRankBM25Retriever.from_defaults(nodes=nodes).persist(tmp_path / "book")
    retriever = LimRankBM25Retriever.from_persist_dir(tmp_path / "book", similarity_top_k=20)
    # Vectors of passages are kept: a passage comes up for many questions.
    rerank = LimRankRerank(recipe="mini", top_n=10, store=str(tmp_path / "vectors.sqlite"))
    before = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(max_tokens=1))
    after = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(max_tokens=1), node_postprocessors=[rerank])

    questions = rows("mcq")[::3]
    first = {"before": 0, "after": 0}
    for i, row in enumerate(questions):
        found = before.query(row["question"]).source_nodes
        answer = after.query(row["question"]) if i % 2 else await after.aquery(row["question"])
        kept = answer.source_nodes
        assert {n.node.node_id for n in kept} <= {n.node.node_id for n in found}
        for name, hits in (("before", found), ("after", kept)):
            first[name] += bool(hits) and hits[0].node.node_id.startswith(row["module"])
    assert len(questions) == 104
    assert first["after"] > first["before"], first
