"""The log: nothing acknowledged is lost, nothing written is changed, whoever writes and whenever it ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from review_page import read_log
from reviews import decision
from synth_rows import make_row

from limrank_plugins.errors import InputError
from limrank_synth.review.decision import Decision
from limrank_synth.review.decision_log import DecisionLog

ROW = make_row(passage="Ünï\u2028çode <b>")


def test_a_log_that_is_not_there_is_empty(tmp_path: Path):
    assert read_log(tmp_path / "log.jsonl") == ([], [])


def test_one_decision_a_line_in_order(tmp_path: Path):
    log = DecisionLog(tmp_path / "new" / "log.jsonl")
    entries = [decision(ROW, "ann"), decision(ROW, "bob", "reject", note="a\nb\u2028c")]
    for entry in entries:
        log.append(entry)
    lines = log.path.read_bytes().split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == [entry.as_json() for entry in entries]
    assert lines[-1] == b""
    assert read_log(log.path) == (entries, [])


def test_news_are_told_once_whoever_wrote_them(tmp_path: Path):
    one, other = DecisionLog(tmp_path / "log.jsonl"), DecisionLog(tmp_path / "log.jsonl")
    first, second = decision(ROW), decision(ROW)
    assert one.append_if(lambda news: first) == [first]
    assert other.append_if(lambda news: None if news else second) == [first]
    assert other.append_if(lambda news: second) == [second]
    assert one.news() == [second]
    assert one.news() == other.news() == []


def test_a_log_cut_anywhere_loses_only_what_was_cut_and_goes_on(tmp_path: Path):
    log = DecisionLog(tmp_path / "whole.jsonl")
    entries = [decision(ROW), decision(ROW, "bob", "edit", edits={"passage": "ü"}), decision(ROW, "cy")]
    for entry in entries:
        log.append(entry)
    whole = log.path.read_bytes()
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    cut = tmp_path / "cut.jsonl"
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        kept = [entry for entry, end in zip(entries, ends, strict=True) if end <= size]
        is_torn = size not in (0, *ends, *(end + 1 for end in ends))
        found, problems = read_log(cut)
        assert found == kept
        assert len(problems) == is_torn
        added = decision(ROW, "dee")
        open_log = DecisionLog(cut)
        assert open_log.append_if(lambda news, added=added: added) == [*kept, added]
        assert cut.read_bytes().startswith(whole[:size]), "nothing that was written is touched"
        again, problems = read_log(cut)
        assert again == [*kept, added]
        assert open_log.problems == problems
        assert len(problems) == is_torn
        assert not is_torn or f"line {len(kept) + 1} is cut short" in problems[0]


def test_a_torn_line_that_was_seen_before_it_was_whole_is_told_when_it_is(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    entry = decision(ROW)
    DecisionLog(path).append(entry)
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    log = DecisionLog(path)
    assert log.news() == []
    path.write_bytes(whole)
    assert log.news() == [entry]
    assert log.problems == []


@pytest.mark.parametrize("line", ['{"id": "x"}', "[1]", '{"query": "a row"}', "notes of mine"])
def test_a_file_that_is_something_else_is_an_error(tmp_path: Path, line: str):
    path = tmp_path / "log.jsonl"
    DecisionLog(path).append(decision(ROW))
    with path.open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match=r"log\.jsonl, line 2: "):
        read_log(path)


def test_a_full_disk_leaves_no_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = DecisionLog(tmp_path / "log.jsonl")
    log.append(decision(ROW))
    log.news()
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:25]))
    with pytest.raises(OSError, match="only 25 of"):
        log.append(decision(ROW, "bob"))
    monkeypatch.setattr(os, "write", write)
    after = decision(ROW, "cy")
    log.append(after)
    found, problems = read_log(log.path)
    assert [entry.reviewer for entry in found] == ["ann", "cy"]
    assert len(problems) == 1


def test_it_is_on_the_disk_before_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_size), fsync(file)))
    log = DecisionLog(tmp_path / "log.jsonl")
    log.append(decision(ROW))
    assert log.path.stat().st_size in synced


def test_nothing_comes_between_the_news_and_the_decision(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    mine, other = decision(ROW, "ann"), decision(ROW, "bob")
    thread = threading.Thread(target=DecisionLog(path).append, args=(other,))

    def decide(news: list[Decision]) -> Decision:
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it must wait"
        return mine

    DecisionLog(path).append_if(decide)
    thread.join()
    assert read_log(path)[0] == [mine, other]


def test_threads_and_processes_append_at_once(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    programs = [
        subprocess.Popen([sys.executable, "-c", _APPEND, str(path), name, "60"], env=_with_tests())
        for name in ("ann", "bob")
    ]
    log = DecisionLog(path)
    threads = [
        threading.Thread(target=lambda name=name: [log.append(decision(ROW, name)) for _ in range(60)])
        for name in ("cy", "dee")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [program.wait(60) for program in programs] == [0, 0]
    found, problems = read_log(path)
    assert problems == []
    assert sorted(entry.reviewer for entry in found) == sorted(["ann", "bob", "cy", "dee"] * 60)


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path):
    """The program says each id after the append; killed at a random moment, all of them are there."""
    path = tmp_path / "log.jsonl"
    said: list[str] = []
    for seed in range(3):
        program = subprocess.Popen(
            [sys.executable, "-c", _APPEND, str(path), f"r{seed}", "100000"],
            env=_with_tests(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        for _ in range(random.Random(seed).randrange(1, 80)):
            said.append(program.stdout.readline().strip())
        program.send_signal(signal.SIGKILL)
        said += program.stdout.read().split("\n")[:-1]
        program.stdout.close()
        program.wait(60)
    found, problems = read_log(path)
    assert set(said) <= {entry.id for entry in found}
    assert len(problems) <= 3
    assert all(isinstance(entry, Decision) for entry in found)


_APPEND = """
import sys
from limrank_synth.review.decision_log import DecisionLog
from reviews import decision
from synth_rows import make_row
from dataclasses import replace
log, row = DecisionLog(sys.argv[1]), make_row()
for number in range(int(sys.argv[3])):
    entry = replace(decision(row, sys.argv[2]), id=f"{sys.argv[2]}-{number:08}")
    log.append(entry)
    sys.stdout.write(entry.id + "\\n")
    sys.stdout.flush()
"""


def _with_tests() -> dict[str, str]:
    folders = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


@pytest.mark.parametrize("text", ["notes", "notes of mine\nand more\n"])
def test_nothing_is_appended_to_a_text(tmp_path: Path, text: str):
    path = tmp_path / "rows.review.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="line 1: this is no decision; name another --log"):
        DecisionLog(path).append(decision(ROW))
    assert path.read_text() == text
