"""Two commands in one folder exclude each other, in every room; and a killed one holds nobody up."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import benchmark_folders as made
import pytest
from limrank_command import limrank
from servers import Call, LoopbackServer, completion
from typer.testing import CliRunner

from limrank_pipelines.bulk_jobs import write_jobs
from limrank_plugins import Document, Query, folders, locks
from limrank_plugins.cli import build_app
from limrank_plugins.corpus_index import index_folder, open_index
from limrank_plugins.errors import InputError
from limrank_plugins.locks import LOCK, alone_at, alone_in
from limrank_plugins.retrievers import build_saved

WITHOUT = """
import os, sys
from pathlib import Path
from limrank_plugins import locks
from limrank_plugins.locks import alone_at, alone_in
if "WITHOUT_FCNTL" in os.environ:
    locks.fcntl = None
"""
HOLD = f"""
{WITHOUT}
with globals()[sys.argv[2]](Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Model:
    """Says yes, once the gate is open."""

    server: LoopbackServer

    async def __call__(self, call: Call) -> Any:
        await asyncio.wait_for(self.server.gate.wait(), 60)
        return completion({" true": -0.1, " false": -2.4})


def command(place: Path, server: LoopbackServer, *words: str) -> list[str]:
    return [
        *(str(Path(sys.executable).with_name("limrank")), *words, "-o", "out", "--recipe", "limrank"),
        *("--model", "m", "--backend", "openai", "--reasoning", "none", "--option", f"base_url={server.url}"),
        *("--option", "api=completions", "--option", "server=vllm"),
    ]


def ended(
    place: Path, server: LoopbackServer, *words: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """The command, which ends by itself."""
    return limrank(place, *command(place, server, *words)[1:], code=code)


def bulk(place: Path) -> tuple[str, ...]:
    documents = [Document(f"passage {i}", id=f"d{i}") for i in range(3)]
    write_jobs(place / "jobs.jsonl", iter([(Query("what", id="q"), documents)]))
    return "bulk", "--jobs", "jobs.jsonl"


def evaluation(place: Path) -> tuple[str, ...]:
    made.beir(place / "set")
    made.run(place / "first.run", made.LISTS)
    return "eval", "folder", "set", "--first-stage", "first.run"


def rerank(place: Path) -> tuple[str, ...]:
    (place / "queries.jsonl").write_text('{"_id": "q", "text": "why does milk turn sour"}\n')
    return "rerank", "-q", "queries.jsonl", "-c", "samples", "--k", "3", "--store", "store.sqlite"


@pytest.mark.parametrize("prepare", [bulk, evaluation, rerank])
def test_the_second_of_two_commands_is_refused(tmp_path: Path, prepare: Any):
    words = prepare(tmp_path)
    model = Model()
    with LoopbackServer(model) as server:
        model.server = server
        arguments: dict[str, Any] = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        first = subprocess.Popen(command(tmp_path, server, *words), **arguments)
        server.wait_for(lambda s: bool(s.calls))
        told = " ".join(ended(tmp_path, server, *words, code=2).stderr.split())
        assert re.search(r"another process is (working in|writing) out: wait until it is done", told)
        asked = len(server.calls)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        server.open()
        ended(tmp_path, server, *words)
        assert len(server.calls) > asked
        assert not (tmp_path / "out" / LOCK).exists()
        assert not (tmp_path / ".out.lock").exists(), "also that of the killed one"


def test_two_that_share_a_store_and_no_output_both_end(tmp_path: Path):
    """What one is being told is not waited for by the other; nothing is lost or told twice afterwards."""
    words = rerank(tmp_path)
    model = Model()
    with LoopbackServer(model) as server:
        model.server = server
        both = []
        for output in ("one.trec", "two.trec"):
            line = [output if word == "out" else word for word in command(tmp_path, server, *words)]
            both.append(subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE))
        server.wait_for(lambda s: len(s.calls) >= 2)
        server.open()
        for process in both:
            _, errors = process.communicate()
            assert process.returncode == 0, errors.decode()
        assert (tmp_path / "one.trec").read_bytes() == (tmp_path / "two.trec").read_bytes()
        asked = len(server.calls)
        ended(tmp_path, server, *words)
        assert len(server.calls) == asked


@pytest.fixture(params=["folder", "file in it"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to lock, the second as where the first cannot be had."""
    if request.param == "file in it":
        monkeypatch.setattr(locks, "fcntl", None)
        monkeypatch.setenv("WITHOUT_FCNTL", "1")
    return str(request.param)


@pytest.mark.parametrize("end", ["ends", "is killed"])
def test_an_output_that_another_process_writes(tmp_path: Path, how: str, end: str):
    output = tmp_path / "new" / "out.trec"
    hold = [sys.executable, "-c", HOLD, str(output), "alone_at"]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        for _ in range(3):
            with pytest.raises(InputError, match="another process is writing"), alone_at(output):
                pass
        with alone_at(output.with_name("another.trec")):
            pass
        if end == "is killed":
            other.kill()
        other.communicate()
    with alone_at(output):
        with pytest.raises(InputError, match="another process is writing"), alone_at(output):
            pass
        assert subprocess.run(hold, check=False, capture_output=True).returncode == 1
    left = [] if how == "folder" else [".another.trec.lock", ".out.trec.lock"]
    assert sorted(os.listdir(output.parent)) == left


@pytest.mark.parametrize("command", ["index", "expand"])
def test_an_index_that_another_process_builds(tmp_path: Path, command: str):
    output = tmp_path / "new" / "index"
    with alone_at(output):
        done = CliRunner().invoke(build_app(), [command, "samples", "-o", str(output)])
        assert done.exit_code == 2
        assert f"another process is writing {output}: wait until it is done" in done.output
    assert os.listdir(output.parent) == []


def test_a_lock_is_no_way_to_a_strangers_file(tmp_path: Path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".out.lock").symlink_to("mine")
    with pytest.raises(InputError, match="cannot be opened"), alone_at(tmp_path / "out"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_folder_that_another_process_holds(tmp_path: Path, how: str):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "alone_in"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        for _ in range(3):  # whoever is refused takes nothing away
            with pytest.raises(InputError, match="another process is working in"), alone_in(tmp_path):
                pass
        other.communicate()
    with alone_in(tmp_path):
        with pytest.raises(InputError, match="another process is working in"), alone_in(tmp_path):
            pass
        hold = [sys.executable, "-c", HOLD, str(tmp_path), "alone_in"]
        assert subprocess.run(hold, check=False).returncode == 1
    assert os.listdir(tmp_path) == ([] if how == "folder" else [LOCK])


@pytest.mark.parametrize("alone", ["alone_in", "alone_at"])
def test_many_take_turns(tmp_path: Path, how: str, alone: str):
    """Each counts one up in a file, which they could not without each other's turns."""
    count = f"""
{WITHOUT}
from limrank_plugins.errors import InputError
folder, file = Path(sys.argv[1]), Path(sys.argv[2])
done = 0
while done < 40:
    try:
        with {alone}(folder):
            file.write_text(str(int(file.read_text()) + 1))
            done += 1
    except InputError:
        pass
"""
    (tmp_path / "held").mkdir()
    (tmp_path / "count").write_text("0")
    words = [sys.executable, "-c", count, str(tmp_path / "held"), str(tmp_path / "count")]
    several = [subprocess.Popen(words) for _ in range(3)]
    assert [process.wait(60) for process in several] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "120"


OPEN = f"""
{WITHOUT}
import warnings
from limrank_plugins.corpus_index import open_index
warnings.showwarning = lambda message, *rest: print(message, flush=True)
sys.stdin.readline()
found = open_index("samples", "bm25s", building=lambda total: print("building", flush=True))
print(len(found), flush=True)
"""


def opening() -> subprocess.Popen[str]:
    words = [sys.executable, "-c", OPEN]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_an_index_in_the_cache_that_another_process_builds_is_waited_for(how: str):
    folder = index_folder("samples", "bm25s")
    with opening() as other:
        assert other.stdout is not None
        with alone_at(folder):
            print(file=other.stdin, flush=True)
            assert other.stdout.readline() == (
                f"another process is writing {folder}: waiting until it is done\n"
            )
            build_saved("bm25s", ["one passage", "another passage"], folder)
        assert other.communicate() == ("2\n", None)  # what was built here, and nothing is built there


@pytest.mark.parametrize("damaged", [False, True])
def test_many_that_open_one_index_get_it_and_one_builds(damaged: bool):
    folder = index_folder("samples", "bm25s")
    if damaged:
        build_saved("bm25s", ["one passage"], folder)
        (folder / "manifest.json").write_text("{")
    several = [opening() for _ in range(4)]
    for process in several:
        print(file=process.stdin, flush=True)
    told = [process.communicate()[0].splitlines() for process in several]
    assert [process.returncode for process in several] == [0] * 4
    assert {lines[-1] for lines in told} == {"192"}
    assert sum(lines.count("building") for lines in told) == 1


def test_a_damaged_index_that_another_process_replaces_while_it_is_opened(monkeypatch: pytest.MonkeyPatch):
    folder = index_folder("samples", "bm25s")
    build_saved("bm25s", ["one passage"], folder)
    documents = folder / "documents.jsonl"
    documents.write_bytes(documents.read_bytes().replace(b"one", b"two"))
    checksum = folders._checksum

    def replaced(file: Path) -> int:
        monkeypatch.setattr(folders, "_checksum", checksum)
        folder.rename(folder.with_name("damaged"))
        try:
            return checksum(file)
        finally:
            build_saved("bm25s", ["one passage", "another passage"], folder)

    monkeypatch.setattr(folders, "_checksum", replaced)
    assert len(open_index("samples", "bm25s")) == 2
