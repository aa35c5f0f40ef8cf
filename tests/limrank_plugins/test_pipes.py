"""Which files can be read twice, and what is told of those that cannot be read at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limrank_plugins.corpus import all_documents, corpus_fingerprint
from limrank_plugins.corpus_index import open_index
from limrank_plugins.errors import InputError
from limrank_plugins.files import lines_and_kind, read_json, read_lines
from limrank_plugins.images import Image
from limrank_plugins.pipes import is_pipe, read_text, refuse_address, regular_file
from limrank_training.data.row_fields import read_rows


def test_files_are_no_pipes_and_devices_and_pipes_are(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    assert not any(map(is_pipe, (tmp_path, tmp_path / "file", tmp_path / "link", tmp_path / "none", "a\0b")))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "way").symlink_to("fifo")
    assert all(map(is_pipe, ("-", tmp_path / "fifo", tmp_path / "way", os.devnull)))
    assert regular_file(tmp_path / "link") == tmp_path / "link"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none", "there is no plan file '"),
        ("folder", "' is a folder: name a file in it"),
        ("fifo", "' is a pipe or a device, which can be read only once: write it to a file"),
    ],
)
def test_what_is_no_file_is_told_by_what_it_is(tmp_path: Path, name: str, told: str):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match=told):
        regular_file(tmp_path / name, "plan file")


@pytest.mark.parametrize("read", [read_json, regular_file, corpus_fingerprint, lambda p: list(read_rows(p))])
def test_a_pipe_is_not_opened_where_it_would_be_read_twice_or_a_stranger_may_have_made_it(
    tmp_path: Path, read: object
):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="can be read only once"):
        read(str(tmp_path / "fifo"))  # type: ignore[operator]


def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="is a folder: name a file in it"):
        list(read_lines(tmp_path))
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="latin is not UTF-8"):
        read_text(tmp_path / "latin")


@pytest.mark.parametrize(
    "address", ["http://h/x", "https:/h/x", "S3://b/x", "file:///etc/x", "data:image/png,x"]
)
def test_an_address_is_told_from_a_file(address: str):
    with pytest.raises(InputError, match="is an address, which is not fetched: download it"):
        refuse_address(address, "the file")
    with pytest.raises(InputError, match=r"the image .* is an address, which is not fetched"):
        Image.open(address)


@pytest.mark.parametrize("name", ["a:b.png", "C:/x", "C:\\x", "data/x", "x//y", "http"])
def test_a_file_is_no_address(name: str):
    refuse_address(name, "the file")


@pytest.mark.parametrize("read", [all_documents, read_lines, lambda p: regular_file(Path(p))])
def test_files_and_corpora_are_not_fetched(read: object):
    with pytest.raises(InputError, match=r"'https?:/+h/c.jsonl' is an address, which is not fetched"):
        list(read("https://me:pw@h/c.jsonl?key=secret"))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("rows", "kind"), [('{"a": 1}\n', True), ("\n  {}\n", True), ("q\tmilk\n", False), ("", False)]
)
@pytest.mark.parametrize("named", [False, True])
def test_the_first_line_of_a_pipe_tells_what_the_name_of_a_file_tells(
    tmp_path: Path, rows: str, kind: bool, named: bool
):
    (tmp_path / "file").write_text(rows)
    assert lines_and_kind(tmp_path / "file", named)[1] is named
    reading, writing = os.pipe()
    os.write(writing, rows.encode())
    os.close(writing)
    lines, is_json = lines_and_kind(f"/dev/fd/{reading}", named)
    assert is_json is kind
    assert list(lines) == list(read_lines(tmp_path / "file"))
    os.close(reading)


def test_an_index_of_a_pipe_is_kept_in_a_folder_that_is_named_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    row = b'{"_id": "d", "text": "sour milk"}\n'
    for folder in (None, tmp_path / "index"):
        reading, writing = os.pipe()
        os.write(writing, row)
        os.close(writing)
        index = open_index(f"/dev/fd/{reading}", "bm25s", folder=folder)
        os.close(reading)
        assert [document.id for document in index.search("milk")] == ["d"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]
