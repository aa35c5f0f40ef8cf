"""What is said again about a folder whose index is there: names before reasons, by the folder's name now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limrank_plugins.corpus_index import open_index
from limrank_plugins.errors import InputError, LimRankWarning
from limrank_plugins.folder_reading import Reading
from limrank_plugins.rows import LeftOut

COMMAND = "limrank index docs"


def reading(files: int = 3) -> Reading:
    read = Reading(read=2)
    for number in range(files):
        read.skip(f"scan{number:02}.pdf", f"scan{number:02}.pdf holds no text, perhaps images of it")
    read.skip("products.csv", "products.csv, line 1: no column is named as texts are", "long description")
    return read


def test_names_come_before_reasons_and_first_what_a_field_would_mend():
    said = reading().brief("docs", COMMAND)
    names = "products.csv (perhaps --field 'long description'), scan00.pdf, scan01.pdf, scan02.pdf"
    assert said.startswith(f"4 of 6 files in docs were not read: {names}; products.csv, line 1: no column")
    assert said.endswith(f"; {COMMAND} says all of it")
    (whole,) = reading().sentences("docs")
    assert whole.count(".pdf holds no text") == 3
    assert "named as texts are (perhaps --field 'long description'); scan00" in whole


def test_as_many_names_as_fit():
    said = reading(300).brief("docs", COMMAND)
    assert len(said) < 400
    assert "products.csv (perhaps --field 'long description'), scan00.pdf, scan01" in said
    assert "and 29" in said
    assert said.endswith(f"more; {COMMAND} says all of it")
    assert "more files: scan09.pdf, scan10.pdf" in reading(20).sentences("docs")[0]


def test_what_fits_is_said_whole():
    read = Reading(read=1, of_other_kinds={".zip": 1})
    assert read.brief("docs", COMMAND) == "1 of 2 files in docs was not read: 1 file of other kinds (1 .zip)"
    assert Reading(read=3).brief("docs", COMMAND) == ""
    read = Reading(read=1)
    read.leave_out("a.csv", LeftOut(2), 9, "a.csv, line 3: 1 columns")
    assert read.brief("docs", COMMAND) == "docs/a.csv: 2 of 9 rows were left out; line 3: 1 columns"
    read = Reading(read=1)
    read.skip("a.pdf", f"a.pdf is damaged {'very ' * 40}")
    assert read.brief("docs", COMMAND).endswith(f"…; {COMMAND} says all of it")


def test_what_is_kept_is_what_was_said():
    read = reading()
    read.leave_out("a.csv", LeftOut(2), 9, "a.csv, line 3: 1 columns")
    read.of_other_kinds, read.guessed, read.for_evaluation = {".zip": 2}, {"b.txt": "cp1252"}, ["qrels.trec"]
    read.unsplit, read.most_words, read.without_field = 1, 180, "about"
    assert len(read.sentences("docs")) == 6
    kept = Reading.from_json(json.loads(json.dumps(read.as_json())))
    assert kept == read
    assert kept.sentences("elsewhere") == [s.replace("docs", "elsewhere") for s in read.sentences("docs")]
    for damaged in ([], {}, {**read.as_json(), "read": "x"}, {**read.as_json(), "left_out": {"a": [1]}}):
        with pytest.raises(InputError, match="not what is kept"):
            Reading.from_json(damaged)


def test_the_folder_is_named_as_it_is_given_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("milk")
    (folder / "b.zip").write_text("unread")
    monkeypatch.chdir(folder)
    said = r"1 of 2 files in {} was not read: 1 file of other kinds"
    with pytest.warns(LimRankWarning, match=said.format(r"\.")):
        open_index(".", "bm25s")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(LimRankWarning, match=said.format("docs")):
        open_index("docs", "bm25s")


def test_the_index_that_is_there_says_all_where_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("milk")
    for number in range(9):
        (folder / f"{number}.doc").write_text("old")
    said = []
    for whole in (False, False, True):
        noted: list[Reading] = []
        with pytest.warns(LimRankWarning) as notes:
            open_index(str(folder), "bm25s", whole_notes=whole, noted=noted.append)
        said.append([str(note.message) for note in notes])
        assert len(noted[0].skipped) == 9
    built, brief, whole_note = said
    assert built == whole_note != brief
    assert "0.doc, 1.doc, 2.doc, 3.doc, 4.doc, 5.doc, 6.doc, 7.doc, 8.doc" in brief[0]
    assert brief[0].endswith(f"limrank index {folder} says all of it")
