"""Folders as people have them: what is read, what is not and is said to be, how long texts are split."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_pdfs import pdf

from limrank_plugins import corpus as corpora
from limrank_plugins import corpus_files
from limrank_plugins.corpus import (
    Corpus,
    all_documents,
    corpus_fingerprint,
    read_corpus,
    run_candidates,
    whole_where_named,
)
from limrank_plugins.corpus_files import titled
from limrank_plugins.corpus_index import open_index
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError, LimRankWarning, MissingExtra
from limrank_plugins.pieces import PassageRule, passage_rule, passages
from limrank_plugins.retrievers import open_retriever
from limrank_plugins.words import words_of

SENTENCES = [f"Sentence {number} of this text says a word about milk." for number in range(60)]


@pytest.fixture
def splitter() -> None:
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "docs"
    (place / "sub").mkdir(parents=True)
    return place


def read(corpus: str | Path | Corpus) -> tuple[dict[str | None, str], list[str]]:
    """Texts by id, and what is said about the reading."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        documents = list(read_corpus(corpus if isinstance(corpus, Corpus) else str(corpus)))
    assert all(issubclass(note.category, LimRankWarning) for note in notes)
    assert len({document.id for document in documents}) == len(documents)
    return {document.id: document.text for document in documents}, [str(note.message) for note in notes]


# ---- folders ------------------------------------------------------------------------------------


def test_a_mixed_folder(folder: Path):
    (folder / "a.txt").write_text("plain")
    (folder / "b.MD").write_text("# Head\nmarked")
    (folder / "sub" / "c.html").write_text("<title>T</title><p>page")
    (folder / "d.csv").write_text("id,text\n1,one\n2,two\n")
    (folder / "e.jsonl").write_text('{"id": "1", "contents": "uno"}\n')
    (folder / "f.json").write_text('[{"body": "eins"}]')
    (folder / ".hidden.txt").write_text("unseen")
    (folder / ".git").mkdir()
    (folder / ".git" / "g.txt").write_text("unseen")
    assert read(folder) == (
        {
            "a.txt": "plain",
            "b.MD": "# Head\nmarked",
            "1": "one",
            "2": "two",
            "e.jsonl#1": "uno",
            "f.json#1": "eins",
            "sub/c.html": "page",
        },
        [],
    )
    titles = {document.id: document.title for document in read_corpus(str(folder))}
    assert (titles["a.txt"], titles["b.MD"], titles["sub/c.html"]) == ("a", "Head", "T")


def test_one_file_does_not_stop_the_others(folder: Path):
    (folder / "a.txt").write_text("read")
    (folder / "binary.txt").write_bytes(b"\0\1\2")
    (folder / "broken.jsonl").write_text('{"text": "first"}\n{"text": "sec')
    (folder / "empty.md").write_bytes(b"")
    (folder / "photo.png").write_bytes(b"\x89PNG")
    (folder / "run.tsv").write_text("q Q0 a 1 1.0 t\n")
    (folder / "table.csv").write_text("name,price\nx,1\n")
    os.mkfifo(folder / "pipe.txt")
    (folder / "loop").symlink_to(folder)
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    texts, (note, rows) = read(folder)
    assert texts == {"a.txt": "read", "broken.jsonl#1": "first"}
    assert note.startswith(f"8 of 10 files in {folder} were not read: ")
    assert rows.startswith(f"{folder / 'broken.jsonl'}: 1 of 2 rows was left out; line 2: not JSON")
    for said in (
        "loop is a link to a folder, which is not followed",
        "gone.txt is a link to nothing, a pipe or a device",
        "pipe.txt is a link to nothing, a pipe or a device",
        "binary.txt is no text, whatever its name says",
        "empty.md is empty",
        "run.tsv, line 1: no column of",
        "table.csv, line 1: no column of 'name', 'price'",
        "1 file of other kinds (1 .png)",
    ):
        assert said in note
    assert str(folder / "binary.txt") not in note, "names, not whole paths"


def test_a_file_that_is_named_itself_is_read_or_an_error(folder: Path):
    (folder / "empty.md").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty\.md is empty"):
        list(read_corpus(str(folder / "empty.md")))
    with pytest.raises(InputError, match=r"nothing of corpus .*: 1 of 1 file in .*empty\.md is empty"):
        list(read_corpus(str(folder)))
    with pytest.raises(InputError, match=r"holds no file that can be read \(\.jsonl .*\.docx\)$"):
        list(read_corpus(str(folder / "sub")))
    (folder / "sub" / "x.zip").write_bytes(b"")
    with pytest.raises(InputError, match=r"no file that can be read .*1 file of other kinds \(1 \.zip\)"):
        list(read_corpus(str(folder / "sub")))


def test_what_other_programs_save_is_named_with_the_fix(folder: Path):
    for name in ("a.txt", "ältere.ODT", "alt.doc", "Preise.xlsx", "~$brief.docx"):
        (folder / name).write_text("Milch")
    texts, (note,) = read(folder)
    assert list(texts) == ["a.txt"]
    assert note.startswith(
        f"3 of 4 files in {folder} were not read: Preise.xlsx is of a kind that is not read: "
    )
    assert (
        "read: save it as .csv; alt.doc is of a kind that is not read: save it as .docx, .pdf or .txt" in note
    )
    with pytest.raises(InputError, match=r"ältere\.ODT is of a kind that is not read: save it as \.docx"):
        list(read_corpus(str(folder / "ältere.ODT")))


def test_a_file_of_another_kind_is_refused_by_the_kinds_there_are(folder: Path):
    (folder / "slides.pptx").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"slides\.pptx is of a kind that is not read: save it as \.pdf$"):
        read(folder / "slides.pptx")
    for name, data in (("a.zip", b"PK\x03\x04"), ("notes", b"milk"), ("b.gz", gzip.compress(b"milk"))):
        (folder / name).write_bytes(data)
        with pytest.raises(InputError, match=rf"{name} is of a kind .* not read, .* \(\.jsonl .*\.docx\)$"):
            read(folder / name)
    rows = '{"_id": "1", "text": "milk"}\n'
    for name, data in (("rows", rows.encode("utf-16")), ("rows.gz", gzip.compress(rows.encode()))):
        (folder / name).write_bytes(data)
        assert read(folder / name)[0] == {"1": "milk"}


def test_a_title_that_is_the_name_of_the_file_is_shown_once(folder: Path):
    (folder / "café.v2.txt").write_text("Amer.")
    (folder / "sub" / "b.md").write_text("# Bread\nIt rises.")
    (folder / "c.csv").write_text("id,title,text\n1,c,sour\n")
    assert [titled(document) for document in all_documents(str(folder))] == [
        "c (1)",
        "café.v2.txt",
        "Bread (sub/b.md)",
    ]
    assert titled(Document("text", "1")) == titled(Document("text", "1", "1")) == "1"
    page = Document("text", "a/report.pdf#3", "report", meta={"file": "a/report.pdf", "page": 7})
    assert titled(page) == "a/report.pdf#3, page 7"
    assert titled(replace(page, title="Milk")) == "Milk (a/report.pdf#3, page 7)"


def test_many_reasons_are_counted(folder: Path):
    (folder / "a.txt").write_text("read")
    for number in range(14):
        (folder / f"{number:02}.md").write_bytes(b"")
    _, (note,) = read(folder)
    assert "14 of 15 files" in note
    assert "09.md is empty; 4 more files: 10.md, 11.md, 12.md, 13.md" in note


def test_what_is_not_installed_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "a.txt").write_text(" ".join(SENTENCES))
    (folder / "b.pdf").write_bytes(pdf("x"))
    (folder / "c.docx").write_bytes(b"")
    before = corpus_fingerprint(str(folder))
    monkeypatch.setattr(corpus_files, "find_spec", lambda name: None)
    for module in (corpora, corpus_files):
        monkeypatch.setattr(module, "has_splitter", lambda: False)
    texts, notes = read(folder)
    assert list(texts) == ["a.txt"]
    for said in ("b.pdf needs pypdf", "c.docx needs docx"):
        assert f"{said}, which is not installed: pip install 'limrank[files]'" in notes[0]
    assert "1 text" in notes[1]
    assert "is longer than 180 words and was not split: pip install 'limrank[files]'" in notes[1]
    assert corpus_fingerprint(str(folder)) != before, "an index of what is read is another one"
    assert len(read(Corpus(str(folder), passages="whole"))[1]) == 1, "as asked for"


def test_another_encoding_is_said(folder: Path):
    pytest.importorskip("charset_normalizer", reason="needs the extra files")
    (folder / "a.txt").write_bytes("naïve café".encode("cp1252"))
    (folder / "b.csv").write_bytes("id;text\n1;naïve café\n".encode("cp1252"))
    texts, notes = read(folder)
    assert texts == {"a.txt": "naïve café", "1": "naïve café"}
    assert notes == [
        f"{folder / 'b.csv'} is not UTF-8 and is read as cp1252",
        f"1 file in {folder} is not UTF-8; the encoding was guessed: a.txt (cp1252)",
    ]


def test_a_folder_in_beirs_layout_is_its_corpus(folder: Path):
    (folder / "corpus.csv").write_text("id,text\n1,one\n")
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "not a document"}\n')
    assert read(folder) == ({"1": "one"}, [])


def test_what_was_not_read_is_said_whenever_the_index_is_opened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    (folder / "a.txt").write_text("milk")
    (folder / "b.zip").write_text("unread")
    for _ in range(2):
        with pytest.warns(LimRankWarning, match=r"1 of 2 files in .* not read: 1 file of other kinds"):
            open_index(str(folder), "bm25s")
    (notes,) = (tmp_path / "cache" / "indexes").glob("*.json")
    notes.write_text("damaged")
    open_index(str(folder), "bm25s")  # without a word


def test_a_field_that_is_named_goes_before_the_usual_ones(folder: Path):
    (folder / "a.csv").write_text("id,about,text\n1,named,usual\n")
    (folder / "b.jsonl").write_text('{"_id": "2", "text": "two"}\n')
    (folder / "c.csv").write_text("id,other\n3,three\n")
    texts, (note,) = read(Corpus(str(folder), field="About"))
    assert texts == {"1": "named", "2": "two"}
    assert "c.csv, line 1: no column" in note
    texts, notes = read(Corpus(str(folder), field="abuot"))
    assert texts == {"1": "usual", "2": "two"}
    assert notes[1] == f"no table in {folder} has a field 'abuot'"
    with pytest.raises(InputError, match="no field 'about'"):  # of a file that is named itself
        read(Corpus(str(folder / "b.jsonl"), field="about"))


def test_queries_and_judgements_are_no_passages(folder: Path):
    (folder / "qrels").mkdir()
    for name in ("a.txt", "queries.csv.gz", "qrels.trec", "qrels/test.tsv", "sub/queries.csv"):
        (folder / name).write_text("id,text\n1,one\n")
    texts, (note,) = read(folder)
    assert list(texts) == ["a.txt", "1"]
    expected = "are not searched: qrels/test.tsv, qrels.trec, queries.csv.gz"
    assert note == f"queries and judgements in {folder} {expected}"


def test_a_title_that_is_named_goes_before_the_usual_one(folder: Path):
    (folder / "a.csv").write_text("id,name,title,text\n1,named,usual,one\n")
    (folder / "b.jsonl").write_text('{"_id": "2", "title": "usual", "text": "two"}\n')
    (folder / "c.csv").write_text("id,text\n3,three\n")

    def titles(corpus: Corpus) -> list[str]:
        return [document.title for document in all_documents(corpus)]

    assert titles(Corpus(str(folder), title_field="Name")) == ["named", "usual", ""]
    assert titles(Corpus(str(folder))) == ["usual", "usual", ""]
    assert titles(Corpus(str(folder / "b.jsonl"), title_field="name")) == [""]  # a file that is named itself
    (folder / "b.jsonl").write_text('{"_id": "2", "title": "usual", "name": 7, "text": "two"}\n')
    with pytest.raises(InputError, match="line 1: 'name' must be a string, but is 7"):
        titles(Corpus(str(folder / "b.jsonl"), title_field="name"))


# ---- what this user may not read ----------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, where tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter, unlike those of pytest.

    What is read and indexed first imports what nobody may perhaps not read.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "public")
        Path(place).chmod(0o755)
        folder.mkdir()
        folder.chmod(0o777)
        Path(place, "a.txt").write_text("milk")
        open_index(f"{place}/a.txt", "bm25s", folder=Path(place, "index"))
        open_retriever(Path(place, "index"))
        yield folder
        for closed in folder.rglob("*"):
            closed.chmod(0o777)


def test_what_may_not_be_read_is_said(public: Path):
    for name in ("a.txt", "b.txt", "sub/c.txt", "listed/d.txt"):
        (public / name).parent.mkdir(exist_ok=True)
        (public / name).write_text("milk")
    (public / "b.txt").chmod(0)
    (public / "sub").chmod(0)
    (public / "listed").chmod(0o444)
    with as_nobody():
        texts, (note,) = read(public)
    assert list(texts) == ["a.txt"]
    assert note.startswith(f"3 of 4 files in {public} were not read")
    assert "b.txt cannot be read: Permission denied" in note
    assert "folder sub cannot be read: Permission denied" in note
    assert "folder listed cannot be read: Permission denied" in note


def test_an_index_is_built_without_what_may_not_be_read_and_again_once_it_may(
    public: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMRANK_CACHE", str(public / "cache"))
    folder, moss = public / "docs", public / "docs" / "moss.txt"
    folder.mkdir()
    (folder / "a.txt").write_text("coffee drips")
    moss.write_text("moss drips")
    everything = corpus_fingerprint(str(folder))
    rows = public / "rows.jsonl"
    rows.touch(0)
    moss.chmod(0)
    with as_nobody():
        with pytest.warns(LimRankWarning, match=r"1 of 2 files in .*: moss\.txt cannot be read: Permission"):
            index = open_index(str(folder), "bm25s")
        assert [hit.id for hit in index.search(Query("drips"), 9)] == ["a.txt"]
        with pytest.raises(InputError, match=r"moss\.txt cannot be read: Permission denied"):
            open_index(str(moss), "bm25s")
        with pytest.raises(InputError, match=r"rows\.jsonl cannot be read: Permission denied"):
            open_index(str(rows), "bm25s")
    moss.chmod(0o644)
    assert corpus_fingerprint(str(folder)) == everything
    assert len(open_index(str(folder), "bm25s")) == 2


def test_a_folder_that_may_not_be_read_is_named(public: Path):
    closed, listed, entered = public / "closed", public / "listed", public / "entered"
    for folder, mode in ((closed, 0), (listed, 0o444), (entered, 0o111)):
        folder.mkdir()
        (folder / "a.txt").write_text("milk")
        folder.chmod(mode)
    with as_nobody():
        for folder in (closed, listed, entered):
            with pytest.raises(InputError, match=f"^folder '{folder}' may not be read$"):
                read(folder)
        with pytest.raises(InputError, match=f"^corpus '{closed}/a.txt' may not be read$"):
            read(closed / "a.txt")
        assert read(entered / "a.txt")[0] == {"a.txt": "milk"}
        with pytest.raises(InputError, match="there is no corpus"):
            read(public / "gone")


# ---- passages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("300 words", PassageRule(300)),
        ("1 word", PassageRule(1)),
        ("300-words, overlap 50", PassageRule(300, 50)),
        ("whole", PassageRule(None)),
    ],
)
def test_rules(text: str, rule: PassageRule):
    assert passage_rule(text) == rule
    assert passage_rule(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["", "300", "0 words", "300 tokens", "max:300 words", "300 words overlap 5", 3]
)
def test_what_is_no_rule(text: object):
    with pytest.raises(InputError, match="passages must be a length such as '300 words', perhaps with"):
        passage_rule(text)
    with pytest.raises(InputError, match="the overlap may be half a passage at most, 5 words"):
        passage_rule("10 words, overlap 6")


def test_a_length_needs_the_splitter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "semantic_text_splitter", None)
    with pytest.raises(MissingExtra, match=r"pip install 'limrank\[chunks\]'"):
        Corpus("docs", passages="300 words")
    assert Corpus("docs", passages="whole").passages == "whole"


TEXT = st.text(st.sampled_from("ab.!? \n\t。語é\u0301👩ไทย\ud800"), max_size=120)


@pytest.mark.usefixtures("splitter")
@given(TEXT, st.integers(1, 9), st.integers(0, 4))
def test_passages_are_short_and_leave_nothing_out(text: str, words: int, overlap: int):
    spans = passages(text, PassageRule(words, min(overlap, words // 2)))
    assert all(words_of(text[start:end]) <= words for start, end in spans)
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(text[place].isspace() for place in range(len(text)) if place not in covered)


@pytest.mark.usefixtures("splitter")
def test_long_texts_are_split_at_sentence_ends(folder: Path):
    wrapped = " ".join(SENTENCES).replace(" says", "\nsays")
    (folder / "long.txt").write_text(wrapped)
    (folder / "short.txt").write_text("Milk.")
    texts, _ = read(folder)
    assert list(texts) == ["long.txt#1", "long.txt#2", "long.txt#3", "long.txt#4", "short.txt"]
    assert all(text.endswith("milk.") for text in texts.values() if text != "Milk.")
    assert " ".join(" ".join(texts.values()).split()) == " ".join([*SENTENCES, "Milk."])
    assert list(read(Corpus(str(folder), passages="whole"))[0]) == ["long.txt", "short.txt"]
    overlapping, _ = read(Corpus(str(folder), passages="50 words, overlap 12"))
    parts = [" ".join(text.split()) for text in list(overlapping.values())[:-1]]
    assert all(words_of(part) <= 50 for part in parts)
    assert all(then.startswith(part[part.rindex("Sentence") :]) for part, then in itertools.pairwise(parts))


@pytest.mark.usefixtures("splitter")
def test_rows_are_split_where_it_is_asked_for(tmp_path: Path):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"_id": "d", "title": "T", "text": " ".join(SENTENCES), "url": "u"}))
    assert list(read(path)[0]) == ["d"]
    documents = all_documents(Corpus(str(path), passages="300 words"))
    assert [(d.id, d.title, d.meta["url"]) for d in documents] == [("d#1", "T", "u"), ("d#2", "T", "u")]


@pytest.mark.usefixtures("splitter")
def test_passages_of_a_pdf_know_their_page(folder: Path):
    pytest.importorskip("pypdf", reason="needs the extra files")
    pages = ["\n".join(SENTENCES[:20]), "\n".join(SENTENCES[20:40]), "\n".join(SENTENCES[40:])]
    (folder / "r.pdf").write_bytes(pdf(*pages, title="A report"))
    documents = all_documents(Corpus(str(folder), passages="200 words"))
    assert [(d.id, d.title, dict(d.meta)) for d in documents] == [
        (f"r.pdf#{page}", "A report", {"file": "r.pdf", "page": page}) for page in (1, 2, 3)
    ]


@pytest.mark.usefixtures("splitter")
def test_texts_are_whole_where_files_are_named(folder: Path):
    (folder / "long.txt").write_text(" ".join(SENTENCES))
    (folder / "short.txt").write_text("Milk.")
    corpus, whole = Corpus(str(folder)), Corpus(str(folder), passages="whole")
    assert whole_where_named(corpus, {"long.txt", "x"}) == whole
    assert whole_where_named(corpus, {"short.txt", "long.txt#1", "x"}) == corpus
    said = Corpus(str(folder), passages="300 words")
    assert whole_where_named(said, {"long.txt"}) == said
    run = folder.parent / "whole.run"
    run.write_text("q Q0 long.txt 1 2.0 t\nq Q0 short.txt 2 1.0 t\n")
    ((one, other),) = run_candidates(run, [Query("milk", "q")], corpus, 10)
    assert (one.text, other.id) == (" ".join(SENTENCES), "short.txt")


# ---- indexes ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("splitter")
def test_how_a_corpus_is_read_is_part_of_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "c.csv"
    path.write_text("id,text,other,head\n1,milk,bread,T\n")
    ways = [
        Corpus(str(path)),
        Corpus(str(path), field="other"),
        Corpus(str(path), title_field="head"),
        Corpus(str(path), passages="20 words"),
        Corpus(str(path), passages="20 words, overlap 5"),
    ]
    assert len({corpus_fingerprint(way) for way in ways}) == len(ways)
    assert corpus_fingerprint(str(path)) == corpus_fingerprint(ways[0])
    assert [open_index(way, "bm25s").search("bread")[0].text for way in ways[1:2]] == ["bread"]
    assert open_index(ways[0], "bm25s").search("bread") == []
    assert len({str(way) for way in ways}) == len(ways)


def test_ids_made_of_a_name_make_the_name_part_of_the_index(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"text": "milk"}\n')
    assert corpus_fingerprint(str(tmp_path / "a.jsonl")) != corpus_fingerprint(str(tmp_path / "b.jsonl"))


def test_empty_options_are_refused():
    for options in ({"field": ""}, {"title_field": ""}):
        with pytest.raises(InputError, match="is empty: name a field"):
            Corpus("docs", **options)
