"""`--fresh`: what stood there stays until the new is finished, whenever the process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from limrank_plugins import Store
from limrank_plugins.begun_anew import NEW, working_on
from limrank_plugins.errors import InputError

OURS = ("report.json", "part/one.txt", "part/two.txt", "old/gone.txt")
SETTINGS = {"depth": 10}


def ours(folder: Path) -> list[Path]:
    return [folder / name for name in OURS if (folder / name).is_file()]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def tree(folder: Path, without: str = NEW) -> dict[str, str]:
    return {
        name: file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not (name := file.relative_to(folder).as_posix()).startswith(without)
    }


BEFORE = {"report.json": "old", "part/one.txt": "old", "old/gone.txt": "old"}
MINE = {"notes.txt": "mine", "part/notes.txt": "mine", "old/x/notes.txt": "mine", ".hidden": "mine"}
AFTER = {"report.json": "new", "part/one.txt": "new", "part/two.txt": "new"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "out", BEFORE | MINE)
    return tmp_path / "out"


def test_a_finished_one_takes_the_place_of_the_earlier_and_of_nothing_else(folder: Path):
    with working_on(folder, SETTINGS, ours, fresh=True) as work:
        write(work.place, AFTER)
        assert tree(folder) == BEFORE | MINE
        work.end(is_finished=True)
        assert work.place == folder
    assert tree(folder, "nothing") == AFTER | MINE


def test_a_file_that_is_no_store_is_told_before_the_work(folder: Path):
    (folder / "notes.txt").write_text("mine " * 50)
    before = tree(folder)
    with (
        pytest.raises(InputError, match="cannot be used as a store"),
        working_on(folder, SETTINGS, ours, fresh=True) as work,
    ):
        work.store(folder / "notes.txt")
    assert tree(folder, "nothing") == before


def test_an_unfinished_one_waits_for_the_same_command(folder: Path):
    said: list[str] = []
    with working_on(folder, SETTINGS, ours, fresh=True, say=said.append) as work:
        write(work.place, {"report.json": "half"})
        work.end(is_finished=False)
    assert tree(folder) == BEFORE | MINE
    assert f"the result of before stays in {folder}" in said[-1]
    with working_on(folder, {"depth": 9}, ours, say=said.append) as work:  # another command
        assert work.place == folder
    assert "other settings" in said[-1]
    with working_on(folder, SETTINGS, ours, say=said.append) as work:
        assert (work.place / "report.json").read_text() == "half"
    assert "going on with what --fresh began" in said[-2]
    with working_on(folder, SETTINGS, ours, fresh=True) as work:  # begins again
        assert not (work.place / "report.json").exists()
        write(work.place, AFTER)
        work.end(is_finished=True)
    assert tree(folder, "nothing") == AFTER | MINE


def test_where_there_is_none_of_before_an_unfinished_one_is_put_there(tmp_path: Path):
    with working_on(tmp_path, SETTINGS, ours, fresh=True) as work:
        write(work.place, {"report.json": "half"})
        work.end(is_finished=False)
    assert tree(tmp_path, "nothing") == {"report.json": "half"}


@pytest.mark.parametrize("left", [{}, {"report.json": "half"}])
def test_what_a_kill_left_of_making_or_removing_the_place_goes(folder: Path, left: dict[str, str]):
    (folder / NEW).mkdir()
    write(folder / NEW, left)
    said: list[str] = []
    with working_on(folder, SETTINGS, ours, say=said.append) as work:
        assert not work.is_anew
    assert not (folder / NEW).exists()
    assert said == []


def test_nothing_done_leaves_nothing(folder: Path):
    before = tree(folder, "nothing")
    said: list[str] = []
    with (
        pytest.raises(InputError, match="no such model"),
        working_on(folder, SETTINGS, ours, fresh=True, say=said.append) as work,
        Store(work.place / "store.sqlite"),
        work.store(folder / "elsewhere.sqlite"),
    ):
        raise InputError("no such model")
    assert tree(folder, "nothing") == before
    assert work.place == folder
    (sentence,) = said
    assert f"the result of before stays in {folder}. To begin anew, give --fresh again" in sentence
    (folder.parent / "there").mkdir()
    (folder / NEW).symlink_to(folder.parent / "there")
    with pytest.raises(InputError, match="no folder of ours"), working_on(folder, SETTINGS, ours, fresh=True):
        pass


def test_what_is_another_kind_of_results_is_refused_first(folder: Path):
    def others(place: Path) -> Sequence[Path]:
        raise InputError("of another kind")

    with (
        pytest.raises(InputError, match="of another kind"),
        working_on(folder, SETTINGS, others, fresh=True),
    ):
        pass
    assert not (folder / NEW).exists()


def test_a_store_elsewhere_gets_the_new_replies_at_the_end(tmp_path: Path):
    shared, output = tmp_path / "shared.sqlite", tmp_path / "run.trec"
    output.write_text("old")
    with Store(shared) as store:
        store.put_many([(b"a", b"old"), (b"b", b"old")])
        store.commit("job", "one", b"old")
    with working_on(output, SETTINGS, fresh=True) as work, work.store(shared) as store:
        assert store.get_many([b"a"]) == {}
        store.put_many([(b"a", b"newer"), (b"c", b"new")])
        store.commit("job", "one", b"new")
        with Store(shared) as before:
            assert before.get_many([b"a", b"b", b"c"]) == {b"a": b"old", b"b": b"old"}
    with working_on(output, SETTINGS) as work:  # as after a kill
        with work.store(shared) as store:
            assert store.get_many([b"a"]) == {b"a": b"newer"}
        output.write_text("new")
        work.end(is_finished=True)
    with Store(shared) as store:
        assert store.get_many([b"a", b"b", b"c"]) == {b"a": b"newer", b"b": b"old", b"c": b"new"}
        assert store.find("job", "one") == b"new"
        assert store.answer_bytes() == len(b"anewerboldcnew")
    assert sorted(path.name for path in tmp_path.glob("*run*")) == ["run.trec"]
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_begun_anew as t

count, at = 0, int(sys.argv[2])
def stops(event, arguments):
    global count
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"):
        if event == "open" and not isinstance(arguments[0], (str, os.PathLike)):
            return
        if str(arguments[0]).startswith(sys.argv[1]) and (event != "open" or str(arguments[1]) in "wx"):
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(stops)
with t.working_on(Path(sys.argv[1]), t.SETTINGS, t.ours, fresh=len(sys.argv) == 3) as work:
    t.write(work.place, t.AFTER)
    work.end(is_finished=True)
print(count)
"""


def test_killed_at_any_step_it_is_the_old_or_becomes_the_new(tmp_path: Path):
    """Before the mark that all is there, the old is whole; after it, the next command makes the new whole."""
    code = KILLED.format(tests=str(Path(__file__).parent))
    ends: list[str] = []
    for at in range(1, 200):
        place = tmp_path / str(at)
        write(place, BEFORE | MINE)
        status, said = process(code, place, at)
        if status == 0:
            break
        assert status == -signal.SIGKILL, said
        is_begun = (place / NEW / f"{NEW}.finished").exists()
        if not is_begun and tree(place) != AFTER | MINE:
            assert tree(place) == BEFORE | MINE
        assert MINE.items() <= tree(place).items()
        with working_on(place, {"another": "command"}, ours):  # whoever comes next
            pass
        found = tree(place)
        assert found == AFTER | MINE or (not is_begun and found == BEFORE | MINE)
        ends.append("new" if found == AFTER | MINE else "old")
        with working_on(place, SETTINGS, ours, fresh=True) as work:
            write(work.place, AFTER)
            work.end(is_finished=True)
        assert tree(place, "nothing") == AFTER | MINE
    assert ends.count("old") > 3
    assert ends.count("new") > 8
    assert ends == sorted(ends, reverse=True), "first the old, from some step on the new"


def process(code: str, place: Path, at: int) -> tuple[int, Any]:
    """A child that forks from nothing of ours: a kill is a kill."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(place), str(at)], capture_output=True, text=True, env=os.environ
    )
    return done.returncode, done.stderr
