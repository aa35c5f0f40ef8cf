"""Rows of the tables people have: every kind by one text, and what is wrong with one by its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document, files, tables
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.qrels import read_qrels

ROWS = [
    {"_id": "a", "title": "Milk", "text": 'Acid; "curdles",\nit\u0085 says 牛乳.'},
    {"_id": "b", "title": "", "text": "Yeast raises bread."},
]


def csv_of(rows: list[dict[str, str]], mark: str) -> str:
    lines = [mark.join(rows[0])]
    lines += [mark.join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows]
    return "\r\n".join(lines) + "\r\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_parquet(path: Path, columns: dict[str, list[object]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra files")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path)
    return path


CONTENTS = {
    "c.jsonl": "\n".join(json.dumps(row) for row in ROWS),
    "c.ndjson.gz": "\n".join(json.dumps(row) for row in ROWS),
    "lines.json": "\n".join(json.dumps(row) for row in ROWS),
    "array.json": json.dumps(ROWS, indent=2),
    "array.json.gz": "\n " + json.dumps(ROWS),
    "c.csv": csv_of(ROWS, ","),
    "semicolons.CSV": csv_of(ROWS, ";"),
    "c.csv.gz": csv_of(ROWS, "\t"),
    "c.tsv": csv_of(ROWS, "\t"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", CONTENTS)
def test_every_kind_holds_the_same_documents(tmp_path: Path, name: str, encoding: str):
    path = write(tmp_path / name, CONTENTS[name], encoding)
    assert list(read_documents(path)) == [Document(row["text"], row["_id"], row["title"]) for row in ROWS]


def test_parquet(tmp_path: Path):
    columns: dict[str, list[object]] = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    columns |= {"price": [1.5, float("nan")], "raw": [b"x", None]}
    found = list(read_documents(write_parquet(tmp_path / "c.parquet", columns)))
    assert found == [Document(row["text"], row["_id"], row["title"]) for row in ROWS]
    assert [dict(d.meta) for d in found] == [{"price": 1.5, "raw": None}, {"price": None, "raw": None}]
    path = write_parquet(tmp_path / "nulls.parquet", {"text": ["a", None]})
    assert [d.text for d in read_documents(path)] == ["a", ""]
    assert [d.id for d in read_documents(path)] == ["nulls.parquet#1", "nulls.parquet#2"]


def test_parquet_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "c.parquet").write_bytes(b"")
    with pytest.raises(MissingExtra, match=r"pip install 'limrank\[files\]'"):
        list(read_documents(tmp_path / "c.parquet"))


@pytest.mark.parametrize("field", ["text", "contents", "content", "body", "passage", "Text"])
def test_usual_names_of_the_text_and_ids_of_file_and_line(tmp_path: Path, field: str):
    row = json.dumps({field: "milk", "docs": 3})
    lines = write(tmp_path / "c.jsonl", f"\n{row}\n{row}\n")
    table = write(tmp_path / "c.csv", f'{field},docs\n"two\nlines",3\nmilk,3\n')
    assert [(d.id, d.text) for d in read_documents(lines)] == [("c.jsonl#2", "milk"), ("c.jsonl#3", "milk")]
    assert [(d.id, d.text) for d in read_documents(table)] == [("c.csv#2", "two\nlines"), ("c.csv#4", "milk")]
    assert next(read_documents(table)).meta == {"docs": "3"}


def test_named_fields(tmp_path: Path):
    path = write(tmp_path / "c.csv", "id,Product,About\n7,Pan,Keeps heat\n")
    document = next(read_documents(path, field="about", title_field="Product"))
    assert document == Document("Keeps heat", "7", "Pan")
    with pytest.raises(InputError, match=r"c\.csv, line 1: no column of 'id', 'Product', 'About' .*--field"):
        list(read_documents(path))
    with pytest.raises(InputError, match=r"line 1: no field 'about' .*'\$x'.*--field"):
        list(read_documents(write(tmp_path / "c.jsonl", '{"$x": 1}'), field="about"))


def test_a_table_of_ids_and_texts_needs_no_line_of_names(tmp_path: Path):
    """MS MARCO's collection.tsv, where quotes are characters like any."""
    path = write(tmp_path / "collection.tsv", '0\tThe "Manhattan" project\n \t\n1\t"Quoted begin\twith tab\n')
    assert [(d.id, d.text) for d in read_documents(path)] == [
        ("0", 'The "Manhattan" project'),
        ("1", '"Quoted begin\twith tab'),
    ]
    path = write(tmp_path / "c.csv", '0,"Milk, and acid"\n')
    assert [(d.id, d.text) for d in read_documents(path)] == [("0", "Milk, and acid")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.csv", "id,text\na,milk\nb,sour,cheese\n", r"line 3: 3 columns, but there are 2 \(id, text\)"),
        ("c.csv", "id,text\na\n", "line 2: 1 columns, but there are 2"),
        ("c.csv", 'id,text\na,milk\nb,"open\nc,x\n', "line 3: not CSV .* in line 4"),
        ("c.csv", 'id,text\na,"milk" sour\n', "line 2: not CSV"),
        ("c.csv", "id,text,note,note\n", "line 1: columns 3 and 4 are both 'note': rename one"),
        ("c.csv", "id,text\n,milk\n", "line 2: 'id' must be a string that is not empty"),
        ("c.csv", "id,text\na,milk\na,milk\n", "line 3: document id 'a' was there before"),
        ("c.json", '[{"text": "a"}, 7]', "row 2: expected a JSON object, but got 7"),
        ("c.json", '[{"text": "a"}, {"text": nothing}]', "row 2: not JSON"),
        ("c.json", '[{"text": "a"}', "is not a whole JSON file"),
        ("c.json", '[{"text": "a"}] x', "there is more behind the end"),
        ("c.json", '{"text": \n', "is not a whole JSON file"),
        ("c.json", "[" * 100_000, "row 1: not JSON .*nested too deeply"),
        ("c.json", '[{"text": ' + "1" * 5000 + "}]", "row 1: not JSON .*thousands of digits"),
        ("c.parquet", "none", "no whole parquet file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, said: str):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="needs the extra files")
    with pytest.raises(InputError, match=rf"{name}.*{said}"):
        list(read_documents(write(tmp_path / name, content)))


@pytest.mark.parametrize("name", ["c.json.gz", "c.csv.gz", "c.jsonl.gz"])
def test_a_gzip_file_that_is_cut_short_or_none(tmp_path: Path, name: str):
    whole = gzip.compress(CONTENTS["array.json"].encode() * 50)
    for data in (whole[:-20], b"none"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=rf"{name} is not a whole gzip file"):
            list(read_documents(tmp_path / name))


@pytest.mark.parametrize("name", ["c.json", "c.csv", "c.jsonl"])
def test_utf_8_with_a_wrong_byte_is_not_taken_for_another_encoding(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes('[{"text": "é"}, {"text": "\xe9"'.encode() + b"\xff")
    with pytest.raises(InputError, match=rf"{name}.*not UTF-8"):
        list(read_documents(tmp_path / name))


def test_what_is_not_wrong(tmp_path: Path):
    """Excel's empty columns at the end, an index column without a name, blank lines, one object in a file."""
    path = write(tmp_path / "c.csv", ",id,text,,\n\n0,a,milk,,\n\n1,b,acid,,,\n")
    assert list(read_documents(path)) == [Document("milk", "a"), Document("acid", "b")]
    assert [dict(d.meta) for d in read_documents(path)] == [{}, {}]
    path = write(tmp_path / "one.json", '{\n "content": "milk"\n}\n')
    assert [(d.id, d.text) for d in read_documents(path)] == [("one.json#1", "milk")]
    for name in ("c.csv", "c.tsv", "c.json", "c.jsonl"):
        assert list(read_documents(write(tmp_path / name, ""))) == []
    assert list(read_documents(write(tmp_path / "c.json", " [ ] "))) == []


VALUES = st.text(max_size=9) | st.integers()


@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=9))
def test_a_json_array_is_read_as_json_reads_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
):
    """Whatever block of the file ends where."""
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text(json.dumps(rows, ensure_ascii=len(rows) % 2 == 0), "utf-8", errors="surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_BLOCK", 3)
        assert [row.values for row in tables.table_rows(path, [])] == rows


def test_an_object_of_an_array_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(tables, "_BLOCK", 100)
    path = write(tmp_path / "a.json", json.dumps([{"text": "a"}, {"text": "x" * 5000}]))
    with pytest.raises(InputError, match="row 2 is longer than 1,000 characters"):
        list(read_documents(path))


# ---- queries and judgements ---------------------------------------------------------------------


def test_queries_of_tables(tmp_path: Path):
    wanted = [Query("why, so?", "1"), Query("how?", "2")]
    for name, content in (
        ("q.csv", 'qid,query\n1,"why, so?"\n2,how?\n'),
        ("q.tsv", "query_id\tquestion\n1\twhy, so?\n2\thow?\n"),
        ("q.json", '[{"id": 1, "text": "why, so?"}, {"id": 2, "text": "how?"}]'),
        ("plain.tsv", "1\twhy, so?\n2\thow?\n"),
    ):
        assert read_queries(write(tmp_path / name, content, "utf-16")) == wanted
    columns: dict[str, list[object]] = {"qid": [1, 2], "query": ["why, so?", "how?"]}
    assert read_queries(write_parquet(tmp_path / "q.parquet", columns)) == wanted
    assert read_queries(write(tmp_path / "log.csv", "query\nwhy\n")) == [Query("why", "log.csv#2")]
    with pytest.raises(InputError, match=r"q\.csv, line 3: the query is empty"):
        read_queries(write(tmp_path / "q.csv", "qid,query\n1,why\n2,\n"))


@pytest.mark.parametrize(
    "content",
    [
        "q 0 a 1\nq 0 b 0\n",
        "q 0 a 1.0\nq 0 b 0.00\n",
        "query-id\tcorpus-id\tscore\nq\ta\t1.0\nq\tb\t0\n",
        "query-id corpus-id score\nq\ta\t1\nq\tb\t0\n",
        "\ufeffquery_id,doc_id,relevance\r\nq,a,1.0\r\nq,b,0.0\r\n",
        "grade\tdocid\tnote\tqid\n1\ta\tx y\tq\n0\tb\t\tq\n",
    ],
)
def test_judgements_as_people_export_them(tmp_path: Path, content: str):
    assert read_qrels(write(tmp_path / "qrels", content)) == {"q": {"a": 1, "b": 0}}


@pytest.mark.parametrize("grade", ["0.5", "1.", ".0", "1.0.0", "nan", "1e0", "", "1.01"])
def test_grades_that_are_not_whole(tmp_path: Path, grade: str):
    with pytest.raises(InputError, match="line 2: the grade must be a whole number"):
        read_qrels(write(tmp_path / "qrels", f"query-id\tcorpus-id\tscore\nq\ta\t{grade}\n"))
