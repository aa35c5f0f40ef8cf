"""Which passages are judged: pools, draws, folders of evaluations, and what does not belong together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_evals.judging.pooling import PooledRun, coverage_notes, pooled, read_runs, texts_of
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError

RANKINGS = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]), st.permutations(list("abcdef")).map(lambda p: p[:5]), min_size=3
)


@given(st.lists(RANKINGS, min_size=1, max_size=3), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_a_pool_is_every_runs_first_documents_once(rankings: list[dict[str, list[str]]], depth: int):
    pool = pooled([PooledRun(str(i), ranked) for i, ranked in enumerate(rankings)], depth).pairs
    for query in ("q1", "q2", "q3"):
        lists = [ranked[query][:depth] for ranked in rankings]
        assert set(pool[query]) == {document for each in lists for document in each}
        assert len(set(pool[query])) == len(pool[query])
        places = [min(each.index(d) for each in lists if d in each) for d in pool[query]]
        assert places == sorted(places)


def test_queries_are_drawn_and_judged_whole():
    run = PooledRun("run", {f"q{i}": list("abcdefghij") for i in range(20)})
    drawn = pooled([run], 10, pairs=45, seed=1)
    assert (len(drawn.pairs), drawn.size, drawn.left_out) == (4, 40, 16)
    assert pooled([run], 10, pairs=45, seed=1) == drawn
    assert {tuple(pooled([run], 10, pairs=45, seed=seed).pairs) for seed in range(9)} != {tuple(drawn.pairs)}
    more = pooled([run], 10, pairs=85, seed=1)
    assert drawn.pairs.items() <= more.pairs.items()  # what was paid for is not thrown away
    with pytest.raises(InputError, match="alone has 10 pairs, more than --pairs 9"):
        pooled([run], 10, pairs=9)


def test_runs_must_have_queries_in_common():
    one, other = PooledRun("a.run", {"q1": ["a"]}), PooledRun("b.run", {"1": ["a"]})
    with pytest.raises(
        InputError, match=r"no query in common: those of a\.run are like 'q1', those of b\.run"
    ):
        pooled([one, other], 10)
    assert coverage_notes([one, PooledRun("c", {"q1": ["b"], "q2": ["b"]})]) == [
        "1 query is ranked by some of the runs only"
    ]


def evaluation(folder: Path, first: str = "ab", reranked: str = "ba") -> Path:
    folder.mkdir(parents=True)
    (folder / "first-stage.run").write_text(
        "".join(f"q1 Q0 {d} {rank} {9 - rank} x\n" for rank, d in enumerate(first))
    )
    row = {"query_id": "q1", "hits": [{"id": d} for d in reranked], "failures": []}
    (folder / "rankings.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_folders_of_evaluations(tmp_path: Path):
    evaluation(tmp_path / "one" / "test")
    evaluation(tmp_path / "two" / "test", reranked="bc")
    runs, notes = read_runs([tmp_path / "one", tmp_path / "two" / "test"], 10)
    assert [run.ranked["q1"] for run in runs] == [["a", "b"], ["b", "a"], ["b", "c"]]
    (note,) = notes
    assert note.startswith(str(tmp_path / "two" / "test" / "first-stage.run"))
    assert note.endswith("and is left out")
    evaluation(tmp_path / "one" / "dev")
    with pytest.raises(InputError, match="several splits: name the folder of one"):
        read_runs([tmp_path / "one"], 10)
    with pytest.raises(InputError, match="holds no run"):
        read_runs([tmp_path], 10)


def test_texts_that_are_not_there_are_named(tmp_path: Path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "a", "text": "A"}\n{"_id": "b", "text": "B"}\n')
    queries = [Query("why", "q1")]
    pairs = texts_of({"q1": ["b", "a"]}, queries, str(corpus))
    assert [(query.text, document.text) for query, document in pairs] == [("why", "B"), ("why", "A")]
    with pytest.raises(InputError, match="the pool names 1 documents that the corpus does not hold: c"):
        texts_of({"q1": ["a", "c"]}, queries, str(corpus))
    with pytest.raises(
        InputError, match="the pool names 1 queries that the file of queries does not hold: q2"
    ):
        texts_of({"q2": ["a"]}, queries, str(corpus))
