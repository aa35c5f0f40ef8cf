"""Loaders on folders of the hub's layout, as parquet and as JSONL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.loaders.dataset_rows import dataset_rows
from limrank_evals.pmrr import changed_documents
from limrank_evals.tasks.beir import load_folder
from limrank_evals.tasks.bright import BRIGHT_TASKS, load_bright
from limrank_evals.tasks.followir import load_followir
from limrank_evals.tasks.litsearch import load_litsearch
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError, LimRankWarning

Rows = Sequence[dict[str, Any]]


def put(folder: Path, config: str, split: str, rows: Rows, kind: str = "jsonl") -> None:
    place = folder / config
    place.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":  # in two pieces, as the hub cuts large ones
        for number, piece in enumerate((rows[:1], rows[1:])):
            pq.write_table(pa.Table.from_pylist(list(piece)), place / f"{split}-{number:05}-of-00002.parquet")
        return
    (place / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def bright(folder: Path, kind: str, task: str = "theoremqa_theorems", count: int = 76) -> Path:
    examples = [
        {
            "id": str(i),
            "query": f"question {i}",
            "excluded_ids": ["d/self.txt"] if i == 0 else ["N/A"],
            "gold_ids": [f"d/{i}.txt"],
            "gold_ids_long": ["N/A"],
        }
        for i in range(count)
    ]
    documents = [{"id": f"d/{i}.txt", "content": f"text {i}"} for i in range(count)]
    put(folder, "examples", task, examples, kind)
    put(folder, "documents", task, [*documents, {"id": "d/self.txt", "content": "question 0"}], kind)
    put(folder, "gpt4_reason", task, [{"id": e["id"], "query": f"thought {e['id']}"} for e in examples], kind)
    return folder


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_bright(tmp_path: Path, kind: str):
    folder = bright(tmp_path, kind)
    found = load_bright("theoremqa_theorems", folder)
    assert (found.name, found.split, found.variant) == ("BRIGHT", "theoremqa_theorems", "published")
    assert len(found.queries) == len(found.qrels) == 76
    assert found.queries[3] == Query("question 3", "3")
    assert found.documents[5] == Document("text 5", "d/5.txt")
    assert found.qrels["7"] == {"d/7.txt": 1}
    assert found.excluded["0"] == {"d/self.txt"}
    assert found.excluded["1"] == set()
    assert "CC BY" in found.licence
    assert found.checked() == ()
    assert load_bright("theoremqa_theorems", folder, reasoning="gpt4_reason").queries[3].text == "thought 3"


def test_brights_counts_are_the_published_ones(tmp_path: Path):
    assert len(BRIGHT_TASKS) == 12
    assert sum(BRIGHT_TASKS.values()) == 1384
    folder = bright(tmp_path, "jsonl", count=75)
    with pytest.raises(InputError, match="75, but 76 were published"):
        load_bright("theoremqa_theorems", folder)
    (warning,) = load_bright("theoremqa_theorems", folder, strict=False).checked()
    assert "75, but 76" in warning


def test_other_judgements_are_another_variant(tmp_path: Path):
    folder = bright(tmp_path, "jsonl")
    qrels = tmp_path / "theorems.fixed.txt"
    qrels.write_text("0 0 d/1.txt 1\n")
    found = load_bright("theoremqa_theorems", folder, qrels=qrels)
    assert (found.variant, found.qrels) == ("theorems.fixed.txt", {"0": {"d/1.txt": 1}})
    assert found.checked() == ("75 queries have no judgements, for example '1'",)
    qrels.write_text("0 0 d/self.txt 1\n")
    with pytest.raises(InputError, match="relevant for query '0' and excluded"):
        load_bright("theoremqa_theorems", folder, qrels=qrels)


def test_what_bright_does_not_have(tmp_path: Path):
    with pytest.raises(InputError, match="no task 'chemistry'; it has biology"):
        load_bright("chemistry", tmp_path)
    with pytest.raises(InputError, match="no long documents"):
        load_bright("leetcode", tmp_path, long=True)
    with pytest.raises(InputError, match=r"expected examples/pony\.jsonl"):
        load_bright("pony", tmp_path)
    put(tmp_path, "examples", "pony", [{"id": "0", "query": 3, "excluded_ids": [], "gold_ids": []}])
    with pytest.raises(InputError, match="'query' cannot be 3"):
        load_bright("pony", tmp_path)


def test_a_split_is_not_one_that_begins_alike(tmp_path: Path):
    put(tmp_path, "x", "test", [{"a": 1}])
    put(tmp_path, "x", "testing", [{"a": 2}])
    put(tmp_path / "x", "train", "part", [{"a": 3}])
    assert list(dataset_rows(tmp_path, "x", "test")) == [{"a": 1}]
    assert list(dataset_rows(tmp_path, "x", "train")) == [{"a": 3}]
    (tmp_path / "x" / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="no whole parquet"):
        list(dataset_rows(tmp_path, "x", "bad"))
    (tmp_path / "x" / "odd.jsonl").write_text("{}\n[1]\n")
    with pytest.raises(InputError, match="line 2: expected a JSON object"):
        list(dataset_rows(tmp_path, "x", "odd"))


def test_a_hub_that_cannot_be_reached_is_one_sentence_with_the_steps():
    with pytest.raises(BackendError, match=r"no-one/nothing \(a, b\).*hf auth login.*give a folder"):
        list(dataset_rows("no-one/nothing", "a", "b"))


def test_litsearch(tmp_path: Path):
    queries = [
        {"query": "which paper?", "specificity": 1, "corpusids": [7, 8], "query_set": "x"},
        {"query": "papers on x", "specificity": 0, "corpusids": [7]},
    ]
    put(tmp_path, "query", "full", queries)
    put(
        tmp_path,
        "corpus_clean",
        "full",
        [{"corpusid": i, "title": f"T{i}", "abstract": "A"} for i in (7, 8, 9)],
    )
    with pytest.raises(InputError, match="2, but 597 were published"):
        load_litsearch(tmp_path)
    found = load_litsearch(tmp_path, strict=False)
    assert found.qrels == {"q1": {"7": 1, "8": 1}, "q2": {"7": 1}}
    assert found.groups == {"specific": {"q1"}, "broad": {"q2"}}
    assert found.documents[0].passage == "T7 A"
    assert len(found.checked()) == 2


def test_followir(tmp_path: Path):
    sides = ("1-og", "1-changed")
    put(tmp_path, "queries", "test", [{"_id": side, "text": "foxes"} for side in sides])
    put(tmp_path, "instruction", "test", [{"query-id": side, "instruction": f"as {side}"} for side in sides])
    put(tmp_path, "corpus", "test", [{"_id": d, "title": "", "text": d} for d in "ab"])
    grades = [("1-og", "a", 1), ("1-og", "b", 1.0), ("1-changed", "a", 0), ("1-changed", "b", 1)]
    put(tmp_path, "default", "test", [{"query-id": q, "corpus-id": d, "score": s} for q, d, s in grades])
    put(tmp_path, "top_ranked", "test", [{"query-id": side, "corpus-ids": ["b", "a"]} for side in sides])
    put(tmp_path, "qrel_diff", "qrel_diff", [{"query-id": "1", "corpus-ids": ["a"]}])
    with pytest.raises(InputError, match="but 40 were published"):
        load_followir("Core17", tmp_path)
    found = load_followir("Core17", tmp_path, strict=False)
    assert found.queries[1] == Query("foxes", "1-changed", "as 1-changed")
    assert found.changed == changed_documents(found.qrels) == {"1": ["a"]}
    assert found.candidates["1-og"] == ["b", "a"]
    with pytest.raises(InputError, match="no task 'Core18'"):
        load_followir("Core18", tmp_path)
    put(tmp_path, "instruction", "test", [{"query-id": "1-og", "instruction": "x"}])
    with pytest.raises(InputError, match="'1-changed' has no instruction"):
        load_followir("Core17", tmp_path, strict=False)


def beir(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "a", "title": "T", "text": "x"}\n{"_id": "b", "text": "y"}\n'
    )
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "q"}\n{"_id": "2", "text": "other split"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t2\n")
    return folder


def test_any_folder(tmp_path: Path):
    found = load_folder(beir(tmp_path / "mine"))
    assert (found.name, found.split, found.variant) == ("mine", "test", "test.tsv")
    assert [query.id for query in found.queries] == ["1"]
    assert len(load_folder(tmp_path / "mine", judged_only=False).queries) == 2
    (tmp_path / "mine" / "excluded.txt").write_text("1 b\n")
    assert load_folder(tmp_path / "mine").excluded == {"1": {"b"}}
    with pytest.raises(InputError, match=r"holds none of qrels/dev\.tsv"):
        load_folder(tmp_path / "mine", "dev")
    (tmp_path / "mine" / "qrels.trec").write_text("1 0 nowhere 1\n9 0 a 1\n")
    told = load_folder(tmp_path / "mine", "dev").checked()
    assert told == (
        "1 relevant document is not in the corpus, for example 'nowhere'",
        "1 judged query is not among the queries, e.g. '9'",
    )
    (tmp_path / "mine" / "qrels.trec").write_text("Q1 0 a 1\n")
    ids = r"no query of .*queries\.jsonl is judged: its ids are like '1', those of .*qrels\.trec like 'Q1'"
    with pytest.raises(InputError, match=ids):
        load_folder(tmp_path / "mine", "dev")
    with pytest.raises(InputError, match="there is no folder"):
        load_folder(tmp_path / "none")


def test_a_folder_of_texts_is_measured(tmp_path: Path):
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    (tmp_path / "a.txt").write_text("milk")
    (tmp_path / "b.md").write_text("# Bread\n" + "It is said to keep for days. " * 60)
    (tmp_path / "queries.tsv").write_text("1\twhat is sour\n")
    (tmp_path / "qrels.trec").write_text("1 0 a.txt 1\n")
    with pytest.warns(LimRankWarning, match=r"not searched: qrels\.trec, queries\.tsv"):
        found = load_folder(tmp_path)
    ids = [document.id for document in found.documents]
    assert (ids[:2], found.qrels, found.checked()) == (["a.txt", "b.md#1"], {"1": {"a.txt": 1}}, ())
    (tmp_path / "qrels.trec").write_text("1 0 b.md 1\n")  # the whole text
    with pytest.warns(LimRankWarning, match="not searched"):
        found = load_folder(tmp_path)
    assert ([d.id for d in found.documents], found.checked()) == (["a.txt", "b.md"], ())


def test_a_benchmark_needs_queries_documents_and_judgements_that_meet():
    query, document = Query("q", "1"), Document("d", "a")
    with pytest.raises(InputError, match="0 queries and 1 document"):
        Benchmark("x", "", (), (document,), {})
    with pytest.raises(InputError, match="none of the queries of x is judged"):
        Benchmark("x", "", (query,), (document,), {"2": {"a": 1}})
    with pytest.raises(InputError, match="query id of x"):
        Benchmark("x", "", (query, query), (document,), {"1": {"a": 1}})
