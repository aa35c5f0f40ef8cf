"""Reciprocal rank fusion of first stages: the formula, ties, the protocol, what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import full_backend

from limrank_pipelines import HybridRetriever, RagPipeline
from limrank_plugins import Document, Query, Reranker
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import build_retriever, load_retriever

CORPUS = [
    Document("Acid curdles milk.", id="acid"),
    Document("Milk curdled by acids.", id="acids"),
    Document("Bread rises.", id="bread"),
    Document("Milk in tea.", id="tea"),
]
PARTS: dict[str, Any] = {"parts": ("bm25s", "rank_bm25"), "options": {"rank_bm25": {"stemmer": None}}}


class Listed:
    """A first stage that finds what it is told to, with these scores."""

    def __init__(self, *scored: tuple[str, float | None]) -> None:
        self.scored = scored

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        return [Document(f"text of {name}", id=name, prior=score) for name, score in self.scored[:k]]


def fused(*parts: Listed, k: int = 100, **options: Any) -> dict[str, float]:
    return {d.id or "": d.prior or 0.0 for d in HybridRetriever(parts, **options).search("q", k)}


def test_the_formula():
    documents = fused(Listed(("a", 9.0), ("b", 8.0)), Listed(("b", 0.4), ("c", 0.3), ("a", 0.2)))
    assert documents == {"b": 1 / 62 + 1 / 61, "a": 1 / 61 + 1 / 63, "c": 1 / 62}
    assert list(documents) == ["b", "a", "c"]


def test_weights_and_k():
    documents = fused(Listed(("a", 9.0)), Listed(("b", 8.0)), weights=[1.0, 3.0], rrf_k=0)
    assert documents == {"b": 3.0, "a": 1.0}
    assert list(documents) == ["b", "a"]


def test_equal_scores_share_a_rank_and_lists_without_scores_are_orders():
    assert fused(Listed(("a", 1.0), ("b", 1.0), ("c", 0.5)), Listed()) == {
        "a": 1 / 61,
        "b": 1 / 61,
        "c": 1 / 63,
    }
    assert fused(Listed(("a", None), ("b", None)), Listed()) == {"a": 1 / 61, "b": 1 / 62}


def test_it_is_the_arithmetic_of_recipe_fuse():
    """Over lists of the same documents, the recipe's fused scores."""
    order = [("a", 0.9), ("b", 0.7), ("c", 0.7), ("d", 0.1)]
    other = [("d", 5.0), ("a", 4.0), ("b", 3.0), ("c", 2.0)]

    def part(scored: Any) -> Reranker:
        scores = {f"text of {name}": score for name, score in scored}
        return Reranker("cross-encoder", backend=full_backend(score_pairs=lambda q, p: scores[p]))

    documents = [Document(f"text of {name}", id=name) for name, _ in order]
    ranking = Reranker.combined("fuse", part(order), part(other)).rank("q", documents)
    expected = {hit.id: hit.score for hit in ranking}
    assert fused(Listed(*order), Listed(*other)) == pytest.approx(expected, abs=1e-15)


lists = st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(-5, 5)), unique_by=lambda row: row[0])


@given(st.lists(lists, min_size=2, max_size=4), st.integers(1, 8))
def test_any_lists(given_lists: Any, k: int):
    parts = [Listed(*sorted(rows, key=lambda row: -row[1])) for rows in given_lists]
    hybrid = HybridRetriever(parts)
    everything = hybrid.search("q")
    assert {d.id for d in everything} == {name for rows in given_lists for name, _ in rows}
    assert [d.prior for d in everything] == sorted((d.prior for d in everything), reverse=True)
    assert [d.id for d in hybrid.search("q", k)] == [d.id for d in everything[:k]]
    assert hybrid.search_many(["q", "r"], k) == [hybrid.search("q", k)] * 2


def test_ties_stay_in_corpus_order():
    hybrid_index = HybridRetriever.build(CORPUS, **PARTS)
    hybrid_index.parts = (Listed(("tea", 1.0)), Listed(("acid", 1.0)))
    assert [d.id for d in hybrid_index.search("q")] == ["acid", "tea"]
    # Where no corpus is known, the first part's comes first.
    assert list(fused(Listed(("tea", 1.0)), Listed(("acid", 1.0)))) == ["tea", "acid"]


def test_parts_are_searched_deeper_than_what_is_asked_for():
    first, second = Listed(("a", 3.0), ("b", 2.0)), Listed(("b", 3.0), ("a", 2.0), ("c", 1.0))
    assert list(fused(first, second, k=1)) == ["a"]
    # Searched to depth 1 only, "a" and "b" would tie.
    assert fused(first, second, k=1) == {"a": 1 / 61 + 1 / 62}
    assert len(fused(first, second, k=3, depth=1)) == 3


def test_it_serves_as_any_retriever(tmp_path: Path):
    hybrid_index = HybridRetriever.build(CORPUS, **PARTS, weights=[2, 1], rrf_k=10, depth=3)
    assert len(hybrid_index) == 4
    documents = hybrid_index.search(Query("milk acids"), 3)
    assert documents
    assert {d.text for d in documents} <= {d.text for d in CORPUS}
    assert RagPipeline(hybrid_index, k=3).ask("milk acids").candidates == tuple(documents)
    hybrid_index.save(tmp_path / "index")
    hybrid_index.save(tmp_path / "index")  # replaced
    again = HybridRetriever.load(tmp_path / "index")
    assert (again.weights, again.rrf_k, again.depth, len(again)) == ((2.0, 1.0), 10, 3, 4)
    assert again.search("milk acids", 3) == documents
    again.parts = (Listed(("tea", 1.0)), Listed(("acid", 1.0)))
    again.weights = (1.0, 1.0)
    assert [d.id for d in again.search("q")] == ["acid", "tea"], "the corpus's order is saved"


def test_a_folder_that_is_not_whole_or_no_hybrid_index(tmp_path: Path):
    hybrid_index = HybridRetriever.build(CORPUS, **PARTS)
    hybrid_index.save(tmp_path / "index")
    with pytest.raises(InputError, match=r"hybrid\.json"):
        HybridRetriever.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="no index"):
        load_retriever(tmp_path / "index")
    victim = tmp_path / "index" / "part-1" / "documents.jsonl"
    victim.write_text("")
    with pytest.raises(InputError, match=r"part-1/documents\.jsonl"):
        HybridRetriever.load(tmp_path / "index")
    (tmp_path / "index" / "hybrid.json").write_text("{")
    with pytest.raises(InputError, match="corrupt"):
        HybridRetriever.load(tmp_path / "index")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="no index"):
        hybrid_index.save(tmp_path / "mine")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"weights": [1.0]}, "1 weight for 2"),
        ({"weights": [0.0, 0.0]}, "weights"),
        ({"weights": [-1.0, 2.0]}, "weights"),
        ({"rrf_k": -1}, "k must"),
        ({"depth": 0}, "depth must"),
    ],
)
def test_values_that_cannot_be_used_are_named(options: dict[str, Any], named: str):
    with pytest.raises(InputError, match=named):
        HybridRetriever([Listed(), Listed()], **options)


def test_parts_that_cannot_be_fused():
    index = build_retriever("bm25s", CORPUS)
    with pytest.raises(InputError, match="2 to 16"):
        HybridRetriever([index])
    with pytest.raises(InputError, match="int has none"):
        HybridRetriever([index, 5])
    with pytest.raises(InputError, match="lucene"):
        HybridRetriever.build(CORPUS, parts=("bm25s", "rank_bm25"), options={"lucene": {}})
    with pytest.raises(InputError, match="different documents under the id 'acid'"):
        HybridRetriever([index, Listed(("acid", 1.0))]).search("acid")
    with pytest.raises(InputError, match="Listed has no save"):
        HybridRetriever([index, Listed()]).save("nowhere")
