"""Entries of a store that SQLite reads and nobody can use: a damaged page inside a sound file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from limrank_command import limrank
from scripts import full_backend

from limrank_plugins import Reranker, Store
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.jobs import Job
from limrank_plugins.ledger import Ledger

TEXTS = [f"passage number {i}" for i in range(9)]


def overwrite(file: Path, table: str, value: object) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        assert database.execute(f"UPDATE {table} SET value = ?", (value,)).rowcount


def find_in_job(file: Path) -> None:
    with Store(file) as store:
        Job(store, "job").find("item")


def read_ledger(file: Path) -> None:
    with Store(file) as store:
        Ledger(store).failures()


def fill(file: Path) -> None:
    with Store(file) as store:
        Job(store, "job").commit("item", {"a": 1})
        ledger = Ledger(store)
        ledger.pay("k", "writer", "m", Usage(cost=0.5))
        ledger.open("k", 0.25)
        ledger.note_failure("f", "writer", "m", "HTTP 500")


@pytest.mark.parametrize("read", [find_in_job, read_ledger])
@pytest.mark.parametrize(
    "value",
    [b"\xa5" * 20, b"", b"{", b"[" * 100_000, b"9" * 5000, "text", 7, 0.5, sqlite3.Binary(b"\xff\x00")],
    ids=["bytes", "empty", "half", "deep", "digits", "text", "number", "fraction", "no text"],
)
def test_a_journal_entry_that_is_no_json_is_one_sentence(
    tmp_path: Path, read: Callable[[Path], None], value: object
):
    file = tmp_path / "s.sqlite"
    fill(file)
    read(file)
    overwrite(file, "journal", value)
    with pytest.raises(LimRankError, match=r"the file is damaged.*put back a copy of it, or move it") as told:
        read(file)
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)


def test_an_item_that_is_no_text_is_one_sentence(tmp_path: Path):
    file = tmp_path / "s.sqlite"
    fill(file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE journal SET item = CAST(x'ff' || item AS TEXT)")
    for read in (find_in_job, read_ledger):
        with pytest.raises(LimRankError, match="the file is damaged"):
            read(file)


@pytest.mark.parametrize("value", [b"\xa5" * 20, b"[]", b"[" * 100_000, "text", 7], ids=repr)
def test_a_reply_that_cannot_be_read_is_asked_for_again(tmp_path: Path, value: object):
    file, asked = tmp_path / "s.sqlite", []

    def rank() -> list[float | None]:
        backend = full_backend(read_labels=lambda prompt: asked.append(prompt) or (len(prompt.text), 0.0))
        with Store(file) as store:
            ranking = Reranker("limrank", backend=backend, reasoning="none", store=store).rank("q", TEXTS)
        return [hit.score for hit in ranking]

    whole = rank()
    assert len(asked) == len(TEXTS)
    overwrite(file, "answers", value)
    with pytest.warns(UserWarning, match=r"a reply in .* is damaged .* and is asked for again"):
        assert rank() == whole
    assert len(asked) == 2 * len(TEXTS)
    assert rank() == whole
    assert len(asked) == 2 * len(TEXTS)


@pytest.mark.parametrize("used", ["yesterday", 0.5, b"\xff", 0], ids=repr)
def test_a_reply_whose_time_is_old_or_none_is_found(tmp_path: Path, used: object):
    file, key = tmp_path / "s.sqlite", b"k" * 32
    with Store(file) as store:
        store.put_many([(key, b"1")])
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE answers SET used = ?", (used,))
    with Store(file) as store:
        store._db.execute("PRAGMA query_only=1")  # as on a disk that is read-only
        assert store.get_many([key]) == {key: b"1"}
        store._db.execute("PRAGMA query_only=0")
        assert store.get_many([key]) == {key: b"1"}
        assert isinstance(store._db.execute("SELECT used FROM answers").fetchone()[0], int)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_a_store_that_cannot_be_written_says_so(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        store.put_many([(b"k" * 32, b"1")])
    (tmp_path / "s.sqlite").chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"cannot open the store .*can be written, or name another"):
            Store(tmp_path / "s.sqlite")
    finally:
        tmp_path.chmod(0o700)


def test_a_command_tells_of_a_damaged_journal_in_one_line(tmp_path: Path):
    (tmp_path / "c.jsonl").write_text('{"_id": "d", "text": "milk"}\n')
    (tmp_path / "q.jsonl").write_text('{"_id": "q", "text": "milk"}\n')
    common = ["-q", "q.jsonl", "-c", "c.jsonl", "-o", "o.jsonl", "--recipe", "prior"]

    limrank(tmp_path, "rerank", *common, "--store", "s.sqlite")
    overwrite(tmp_path / "s.sqlite", "journal", b"\x00\x01")
    assert "the file is damaged" in limrank(tmp_path, "rerank", *common, "--store", "s.sqlite", code=1).stderr
    assert json.loads((tmp_path / "o.jsonl").read_text())["query_id"] == "q"
