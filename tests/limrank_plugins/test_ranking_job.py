"""A job of which nothing was judged writes nothing, though one document alone cannot fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import full_backend

from limrank_plugins import Document, Query, Reranker, Store
from limrank_plugins.errors import BackendError
from limrank_plugins.ranking_job import judged_documents, rank_all

QUERIES = [Query("why sour", "q1"), Query("why bread", "q2")]
PAIR, ALONE = [Document("milk", id="a"), Document("acid", id="b")], [Document("yeast", id="c")]


def reranker(recipe: str, reply: str) -> Reranker:
    """It gets this reply to everything."""
    return Reranker(recipe, backend=full_backend(generate=lambda prompt: reply))


def test_one_document_alone_does_not_make_up_for_an_order_that_failed(tmp_path: Path):
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(BackendError, match="none of the 3 documents could be judged"):
            rank_all(reranker("rankgpt", ""), QUERIES, [PAIR, ALONE], store)
        records, _ = rank_all(reranker("rankgpt", ""), QUERIES[1:], [ALONE], store)
        assert [hit["id"] for hit in records[0]["hits"]] == ["c"], "nothing was asked, and nothing failed"
        records, _ = rank_all(reranker("rankgpt", "[2] > [1]"), QUERIES, [PAIR, ALONE], store)
        assert [[hit["id"] for hit in record["hits"]] for record in records] == [["b", "a"], ["c"]]
        assert judged_documents(records, [PAIR, ALONE]) == 2


def test_one_document_alone_with_a_score_was_judged():
    scored = {"failures": [], "hits": [{"id": "c", "score": 0.5}]}
    failed = {"failures": [{"id": "a"}, {"id": "b"}], "hits": [{"id": "a", "score": None}]}
    assert judged_documents([failed, scored], [PAIR, ALONE]) == 1
    cut = {"failures": [], "hits": [{"id": "a", "score": None}]}
    assert judged_documents([cut], [PAIR]) == 2, "records may be cut to their first hits"
    alone = {"failures": [{"id": "c"}], "hits": [{"id": "c", "score": None}]}
    assert judged_documents([alone], [ALONE]) == 0
