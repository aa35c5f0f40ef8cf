"""Files in and out: what is read, what is written, what is refused with its line number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import reranker

from limrank_plugins import Document
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.io import ranking_record, read_documents, read_queries, read_run, write_run
from limrank_plugins.outputs import write_whole
from limrank_plugins.qrels import read_qrels


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_documents_as_in_beir(tmp_path: Path, name: str):
    lines = ['{"_id": "a", "title": "T", "text": "one\\u0085two", "url": "u"}', '{"id": 7, "text": ""}', ""]
    found = list(read_documents(put(tmp_path, name, "\n".join(lines))))
    assert found == [Document("one\x85two", "a", "T"), Document("", "7")]
    assert found[0].meta == {"url": "u"}
    assert found[0].passage == "T one\x85two"


def test_lines_end_at_newline_alone(tmp_path: Path):
    text = "a\x85b\u2028c\x0cd"
    path = put(tmp_path, "c.jsonl", json.dumps({"_id": "a", "text": text}, ensure_ascii=False) + "\r\n")
    assert next(read_documents(path)).text == text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken", "line 2: not JSON"),
        ('["a"]', "line 2: expected a JSON object"),
        ('{"text": "x"}', "line 2: no '_id'"),
        ('{"_id": "", "text": "x"}', "line 2: '_id'"),
        ('{"_id": "b"}', "line 2: no field 'text'"),
        ('{"_id": "b", "text": null}', "line 2: 'text' must be a string"),
        ('{"_id": "b", "text": 5}', "line 2: 'text'"),
        ('{"_id": "a", "text": "again"}', "line 2: document id 'a' was there before"),
        ('{"_id": "b", "title": 5, "text": "x"}', "line 2: 'title'"),
    ],
)
def test_garbled_corpus_lines_are_named(tmp_path: Path, line: str, said: str):
    path = put(tmp_path, "c.jsonl", '{"_id": "a", "text": "x"}\n' + line + "\n")
    with pytest.raises(InputError, match=f"c.jsonl, {said}"):
        list(read_documents(path))


def test_broken_files_are_named(tmp_path: Path):
    whole = gzip.compress("".join(f'{{"_id": "{i}", "text": "x"}}\n' for i in range(1000)).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.jsonl.gz").write_bytes(b"not gzip")
    row = '{"_id": "a", "text": "é"}\n'.encode()
    (tmp_path / "latin.jsonl").write_bytes(row + b'{"_id": "b", "text": "\xff"}\n')
    for name, said in (
        ("cut.jsonl.gz", "whole gzip"),
        ("none.jsonl.gz", "whole gzip"),
        ("latin.jsonl", "line 2: not UTF-8"),
    ):
        with pytest.raises(InputError, match=said):
            list(read_documents(tmp_path / name))
    with pytest.raises(InputError, match="there is no file"):
        list(read_documents(tmp_path / "absent.jsonl"))


def test_a_text_file_of_queries_holds_one_a_line(tmp_path: Path):
    found = read_queries(put(tmp_path, "q.txt", "why, then\n\n what else \n"))
    assert found == [Query("why, then", "q.txt#1"), Query("what else", "q.txt#3")]
    assert read_queries(put(tmp_path, "j.txt", '{"_id": "1", "text": "a"}\n')) == [Query("a", "1")]


def test_queries(tmp_path: Path):
    rows = '{"_id": "1", "text": "a", "instruction": "b"}\n{"_id": "2", "text": "c", "persona": "d"}\n'
    assert read_queries(put(tmp_path, "q.jsonl", rows)) == [Query("a", "1", "b"), Query("c", "2")]
    assert read_queries(put(tmp_path, "q.tsv.gz", "1\ta b\n2\tc\td\n")) == [
        Query("a b", "1"),
        Query("c\td", "2"),
    ]
    for content, said in (("", "no queries"), ('{"_id": "1", "text": " "}', "line 1: the query is empty")):
        with pytest.raises(InputError, match=said):
            read_queries(put(tmp_path, "bad.jsonl", content))
    with pytest.raises(
        InputError, match=r"line 1: not JSON.* does not end as \.jsonl, \.ndjson.* as JSON lines"
    ):
        read_queries(put(tmp_path, "bad.epub", "words"))
    for name, kind in (("bad.docx", "Word"), ("bad.md", "Markdown")):
        with pytest.raises(
            InputError, match=rf"is a {kind} file, which holds no queries: .* \.jsonl.* \.txt"
        ):
            read_queries(put(tmp_path, name, "words"))
    with pytest.raises(InputError, match="line 2: expected an id, a tab"):
        read_queries(put(tmp_path, "bad.tsv", "1\ta\nb\n"))


def test_runs_are_sorted_by_score_and_ties_keep_their_rank(tmp_path: Path):
    lines = "q1 Q0 a 3 1.0 t\nq1 Q0 b 2 1.0 t\nq1 Q0 c 1 0.5 t\nq2 Q0 a 1 -2e3 t\n"
    for name in ("r.trec", "r.txt.gz"):
        run = read_run(put(tmp_path, name, lines))
        assert [c.document_id for c in run["q1"]] == ["b", "a", "c"]
        assert run["q2"] == [("a", -2000.0)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q1 Q0 d 1 nan t", "line 2: the score must be a finite number, but is 'nan'"),
        ("q1 Q0 d 1 x t", "line 2: the score"),
        ("q1 Q0 my doc 1 0.5 t", "line 2: a run line has 6 columns .* this has 7"),
        ("q1 Q0 d 1 0.5", "line 2: .* has 5"),
        ("q1 Q0 a 2 0.1 t", "'a'"),
    ],
)
def test_bad_run_lines_are_named(tmp_path: Path, line: str, said: str):
    with pytest.raises(InputError, match=said):
        read_run(put(tmp_path, "r.trec", f"q1 Q0 a 1 1.0 t\n{line}\n"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q1 0 a", "4 columns, but this has 3"),
        ("q1 0 a x", "whole number"),
        ("q1 0 z 1\nq1 0 z 2", "judged twice"),
    ],
)
def test_bad_qrels_lines_are_named(tmp_path: Path, line: str, said: str):
    with pytest.raises(InputError, match=said):
        read_qrels(put(tmp_path, "q.qrels", f"q0 0 a -1\n{line}\n"))


word = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=6).filter(
    lambda s: s.split() == [s]
)


def test_a_tag_with_a_space_stays_one_column(tmp_path: Path):
    record = ranking_record(reranker(reasoning="none").rank(Query("q", id="1"), ["a"]))
    write_run(tmp_path / "r.trec", [record], tag="reasonrank:passage_limit=100 tokens")
    assert (tmp_path / "r.trec").read_text() == "1 Q0 0 1 1 reasonrank:passage_limit=100-tokens\n"


@given(st.dictionaries(word, st.lists(word, unique=True, min_size=1, max_size=6), min_size=1, max_size=4))
def test_runs_survive_the_round_trip(tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, list[str]]):
    folder = tmp_path_factory.mktemp("run")
    records = [
        {"query_id": query, "hits": [{"id": document, "score": None} for document in documents]}
        for query, documents in wanted.items()
    ]
    for name in ("r.trec", "r.trec.gz", "r.jsonl", "r.jsonl.gz"):
        write_run(folder / name, records)
        assert {q: [c.document_id for c in cs] for q, cs in read_run(folder / name).items()} == wanted


def test_trec_eval_reads_the_order_we_wrote_even_where_every_score_is_equal(tmp_path: Path):
    """trec_eval breaks ties by descending document id; a saturated reranker must not suffer from it."""
    documents = [Document("same text", id=i) for i in ("a", "z", "m")]
    ranking = reranker(reasoning="none").rank(Query("q", "q1"), documents)
    assert ranking.ids == ["a", "z", "m"]
    write_run(tmp_path / "r.trec", [ranking_record(ranking)])
    qrels = [ir_measures.Qrel("q1", "a", 1)]
    run = list(ir_measures.read_trec_run(str(tmp_path / "r.trec")))
    assert ir_measures.calc_aggregate([ir_measures.RR], qrels, run)[ir_measures.RR] == 1.0
    assert ranking.run_scores() == [3.0, 2.0, 1.0]


def test_ids_with_white_space_cannot_go_into_trec_but_into_jsonl(tmp_path: Path):
    records = [{"query_id": "q 1", "hits": [{"id": "my doc", "score": 1.0}]}]
    with pytest.raises(InputError, match="'q 1'"):
        write_run(tmp_path / "r.trec", records)
    assert not (tmp_path / "r.trec").exists()
    write_run(tmp_path / "r.jsonl", records)
    assert read_run(tmp_path / "r.jsonl") == {"q 1": [("my doc", 1.0)]}


def test_writing_is_all_or_nothing_and_equal_content_is_an_equal_file(tmp_path: Path):
    path = tmp_path / "deep" / "r.trec.gz"
    write_whole(path, b"one")
    first = path.read_bytes()
    write_whole(path, b"one")
    assert path.read_bytes() == first
    assert gzip.decompress(first) == b"one"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "folder"], "nothing left behind"
