"""Rows of a folder's tables that cannot be used: left out one by one, counted, said with a reason."""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.corpus import Corpus, corpus_fingerprint, read_corpus
from limrank_plugins.corpus_index import index_folder, open_index
from limrank_plugins.errors import InputError, LimRankWarning
from limrank_plugins.io import read_documents
from limrank_plugins.rows import LeftOut


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


def read(folder: Path, field: str | None = None) -> tuple[dict[str | None, str], list[str]]:
    """The texts by id, and what was said."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        texts = {document.id: document.text for document in read_corpus(Corpus(str(folder), field=field))}
    return texts, [str(note.message) for note in notes]


def test_one_bad_row_does_not_lose_the_rest(folder: Path):
    rows = [{"_id": str(n), "text": None if n == 5 else f"ticket number {n}"} for n in range(1, 1001)]
    (folder / "tickets.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts, (note,) = read(folder)
    assert len(texts) == 999
    assert texts["1000"] == "ticket number 1000"
    assert note == (
        f"{folder / 'tickets.jsonl'}: 1 of 1,000 rows was left out; line 5: 'text' must be a string, but is "
        f"None"
    )
    with pytest.raises(InputError, match=r"tickets\.jsonl, line 5: 'text' must be a string, but is None"):
        read(folder / "tickets.jsonl")
    (folder / "tickets.jsonl").rename(folder / "corpus.jsonl")
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 5: "):
        read(folder)


LINES = '{{"_id": "a", "text": "one"}}\n{}\n{{"_id": "c", "text": "three"}}\n'
ARRAY = '[{{"_id": "a", "text": "one"}}, {}, {{"_id": "c", "text": "three"}}]'


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("t.jsonl", LINES.format('{"_id": "b", "text": 7}'), "line 2: 'text' must be a string, but is 7"),
        ("t.jsonl", LINES.format('{"_id": "b"}'), "line 2: no field 'text'"),
        ("t.jsonl", LINES.format('{"_id": "b", "text": "tw'), "line 2: not JSON"),
        ("t.jsonl", LINES.format("[]"), "line 2: expected a JSON object"),
        ("t.jsonl", LINES.format('{"text": "no id"}'), "line 2: no '_id', which the rows before have"),
        (
            "t.jsonl",
            LINES.format('{"_id": "a", "text": "again"}'),
            "line 2: document id 'a' was there before",
        ),
        (
            "t.jsonl",
            LINES.format('{"_id": "b", "text": "t", "title": 1}'),
            "line 2: 'title' must be a string",
        ),
        ("t.jsonl", LINES.format('{"_id": "b", "text": "t", "images": ["../x.png"]}'), "line 2: the image"),
        ("t.jsonl", LINES.format('{"_id": "b", "text": "wrong \udcff byte"}'), "line 2: not UTF-8"),
        ("t.json", LINES.format("{broken"), "line 2: not JSON"),
        ("t.json", ARRAY.format("3"), "row 2: expected a JSON object, but got 3"),
        ("t.json", ARRAY.format('{"_id": "b"}'), "row 2: no field 'text'"),
        ("t.csv", "_id,text\na,one\nb\nc,three\n", "line 3: 1 columns, but there are 2"),
        ("t.csv", "_id,text\na,one\nb,x,y\nc,three\n", "line 3: 3 columns, but there are 2"),
        ("t.csv", '_id,text\na,one\nb,"never closed\nc,three\n', "line 3: not CSV (unexpected end of data"),
        ("t.csv", '_id,text\na,one\nb,"closed"too early\nc,three\n', "line 3: not CSV"),
        ("t.csv", "_id,text\na,one\nb,wrong \udcff byte\nc,three\n", "line 3: not UTF-8"),
        ("t.csv", '_id,text\na,one\nb,"two\nwrong \udcff byte"\nc,three\n', "line 4: not UTF-8"),
        (
            "t.tsv",
            "a\tone\tof some words\nb\nc\tthree\n".replace("one\t", "one "),
            "line 2: expected id, tab",
        ),
        ("t.tsv", "a\tone of some\nb\twrong \udcff byte\nc\tthree\n", "line 2: not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_row_leaves_out_that_row(folder: Path, name: str, content: str, why: str):
    # Without other letters of UTF-8, wrong bytes would make it text in another encoding.
    data = content.replace("three", "three äöü€").encode("utf-8", "surrogateescape")
    (folder / name).write_bytes(data)
    texts, (note,) = read(folder)
    assert list(texts) == ["a", "c"]
    assert texts["c"].startswith("three")
    assert note.startswith(f"{folder / name}: 1 of 3 rows was left out; {why}")
    with pytest.raises(InputError, match=r"t\.\w+, (line|row) \d"):
        read(folder / name)


def test_a_first_line_that_is_no_json_leaves_json_lines_what_they_are(folder: Path):
    (folder / "t.json").write_text('{"text": brok\n{"text": "two"}\n{"text": "three"}\n')
    texts, (note,) = read(folder)
    assert texts == {"t.json#2": "two", "t.json#3": "three"}
    assert "1 of 3 rows was left out; line 1: not JSON" in note
    (folder / "t.json").write_text('{"text":\n"one object"\n}')
    assert read(folder) == ({"t.json#1": "one object"}, [])


def test_a_quote_that_is_not_closed_takes_no_further_rows_with_it(folder: Path):
    rows = [f'{n},"a, quoted {n}"' if n % 7 == 0 else f"{n},plain {n}" for n in range(1, 1001)]
    rows[4] = '5,"not closed'
    (folder / "t.csv").write_text("\n".join(["id,text", *rows]))
    texts, (note,) = read(folder)
    assert len(texts) == 999
    assert texts["6"] == "plain 6"
    assert texts["7"] == "a, quoted 7"
    assert "1 of 1,000 rows was left out; line 6: not CSV" in note


def test_a_file_without_any_row_of_use_is_not_read(folder: Path):
    (folder / "a.txt").write_text("read")
    (folder / "few.jsonl").write_text('{"about": "a long text", "n": "1"}\n' * 3)
    (folder / "one.jsonl").write_text('{"n": 1}')
    _, (note,) = read(folder)
    assert note.startswith(f"2 of 3 files in {folder} were not read: few.jsonl, line 1: no field 'text'")
    assert "(and none of its 3 rows can be used) (perhaps --field about); one.jsonl, line 1: no field" in note
    assert list(read(folder, "about")[0]) == ["a.txt", "few.jsonl#1", "few.jsonl#2", "few.jsonl#3"]


def test_a_field_is_found_behind_rows_that_cannot_be_read(folder: Path):
    (folder / "t.jsonl").write_text('no JSON\n{"about": "milk"}\n')
    texts, notes = read(folder, "about")
    assert list(texts) == ["t.jsonl#2"]
    assert not any("has a field" in note for note in notes)


def test_what_cannot_be_read_on_says_that_the_rest_is_lost(folder: Path):
    (folder / "array.json").write_text('[{"text": "one"}, {"text": 2}, {"text": brok}, {"text": "four"}]')
    packed = gzip.compress("".join(f'{{"text": "{n}"}}\n' for n in range(50_000)).encode())
    (folder / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    texts, (note, rows) = read(folder)
    assert texts["array.json#1"] == "one"
    assert "array.json, row 3: not JSON" in note
    assert "(what stands before it was read: 1 document; what follows is lost); cut.jsonl.gz is not" in note
    assert note.count("what follows is lost") == 2
    assert (
        rows == f"{folder / 'array.json'}: 1 of 2 rows was left out; row 2: 'text' must be a string, but is 2"
    )


def test_an_id_of_a_row_that_is_left_out_may_come_again(folder: Path):
    (folder / "t.jsonl").write_text('{"_id": "a", "text": null}\n{"_id": "a", "text": "good"}\n')
    texts, (note,) = read(folder)
    assert texts == {"a": "good"}
    assert "1 of 2 rows was left out; line 1" in note


def test_several_files_are_named_before_the_reasons(folder: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (folder / name).write_text('{"text": "milk"}\n{"text": null}\n{"text": 1}\n')
    _, (note,) = read(folder)
    assert note == (
        f"rows of 2 files in {folder} were left out: a.jsonl (2 of 3), b.jsonl (2 of 3); a.jsonl, line 2: "
        f"'text' must be a string, but is None; b.jsonl, line 2: 'text' must be a string, but is None"
    )


def test_reasons_need_no_memory(tmp_path: Path):
    path = tmp_path / "t.csv"
    peaks = []
    for count in (2_000, 20_000):
        path.write_text(
            "id,text,more\n" + "\udcff,x\n".encode("utf-8", "surrogateescape").decode("latin-1") * count
        )
        left_out = LeftOut()
        tracemalloc.start()
        assert list(read_documents(path, unusable=left_out)) == []
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert left_out.count == count
    assert peaks[1] < peaks[0] + 200_000
    left_out(InputError("later"))
    assert "line 2" in left_out.first
    long = LeftOut()
    long(InputError("x" * 1_000_000))
    assert len(long.first) <= 4_000


@given(st.lists(st.sampled_from(['{"text": "good"}', '{"text": null}', "{", "[]", '{"t": 1}']), min_size=1))
def test_every_good_row_is_read_and_every_other_counted(lines: list[str]):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "t.jsonl")
        path.write_text("\n".join(lines))
        left_out = LeftOut()
        documents = list(read_documents(path, unusable=left_out))
    good = [number for number, line in enumerate(lines, start=1) if "good" in line]
    assert [document.id for document in documents] == [f"t.jsonl#{number}" for number in good]
    assert left_out.count == len(lines) - len(good)


# ---- indexes ------------------------------------------------------------------------------------


def test_an_index_holds_the_rows_behind_a_bad_one_and_is_another_once_they_change(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    (folder / "p.png").write_bytes(b"\x89PNG\r\n\x1a\none")
    rows = '{"text": "sour milk"}\nno JSON\n{"text": "bread", "images": [7]}\n'
    rows += '{"text": "%s", "images": ["p.png"]}\n'
    (folder / "t.jsonl").write_text(rows % "rye")
    for _ in range(2):
        with pytest.warns(LimRankWarning) as notes:
            index = open_index(str(folder), "bm25s")
        said = "; ".join(str(note.message) for note in notes)
        assert "t.jsonl: 2 of 4 rows were left out" in said
        assert [hit.id for hit in index.search("rye")] == ["t.jsonl#4"]
    before = corpus_fingerprint(str(folder))
    (folder / "p.png").write_bytes(b"\x89PNG\r\n\x1a\ntwo")
    assert corpus_fingerprint(str(folder)) != before, "images behind a bad row count, too"
    assert index_folder(str(folder), "bm25s").name != f"bm25s-{before}"


def test_progress_of_a_folder_does_not_count_what_may_be_left_out(folder: Path, tmp_path: Path):
    (folder / "t.jsonl").write_text('{"text": "milk"}\nno JSON\n')
    totals: list[int | None] = []
    with pytest.warns(LimRankWarning):
        open_index(str(folder), "bm25s", folder=tmp_path / "idx", building=totals.append)
    assert totals == [None]
