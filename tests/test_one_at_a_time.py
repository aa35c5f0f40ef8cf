"""Two commands in one folder exclude each other, in every room; and a killed one holds nobody up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import benchmark_folders as made
import pytest
from servers import Call, LoopbackServer, completion

from limrank_pipelines.bulk import write_jobs
from limrank_plugins import Document, Query, files
from limrank_plugins.errors import InputError
from limrank_plugins.files import LOCK, alone_in

WITHOUT = """
import os, sys
from pathlib import Path
from limrank_plugins import files
from limrank_plugins.files import alone_in
if "WITHOUT_FCNTL" in os.environ:
    files.fcntl = None
"""
HOLD = f"""
{WITHOUT}
with alone_in(Path(sys.argv[1])):
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


def bulk(place: Path) -> tuple[str, ...]:
    documents = [Document(f"passage {i}", id=f"d{i}") for i in range(3)]
    write_jobs(place / "jobs.jsonl", iter([(Query("what", id="q"), documents)]))
    return "bulk", "--jobs", "jobs.jsonl"


def evaluation(place: Path) -> tuple[str, ...]:
    made.beir(place / "set")
    made.run(place / "first.run", made.LISTS)
    return "eval", "folder", "set", "--first-stage", "first.run"


@pytest.mark.parametrize("prepare", [bulk, evaluation])
def test_the_second_of_two_commands_is_refused(tmp_path: Path, prepare: Any):
    words = prepare(tmp_path)
    model = Model()
    with LoopbackServer(model) as server:
        model.server = server
        arguments: dict[str, Any] = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        first = subprocess.Popen(command(tmp_path, server, *words), **arguments)
        server.wait_for(lambda s: bool(s.calls))
        second = subprocess.run(command(tmp_path, server, *words), **arguments, check=False)
        assert second.returncode == 2
        assert b"another process is working in out: wait until it is done" in b" ".join(second.stderr.split())
        asked = len(server.calls)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        server.open()
        third = subprocess.run(command(tmp_path, server, *words), **arguments, check=False)
        assert third.returncode == 0, third.stderr.decode()
        assert len(server.calls) > asked
        assert not (tmp_path / "out" / LOCK).exists()


@pytest.fixture(params=["folder", "file in it"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to lock, the second as where the first cannot be had."""
    if request.param == "file in it":
        monkeypatch.setattr(files, "fcntl", None)
        monkeypatch.setenv("WITHOUT_FCNTL", "1")
    return str(request.param)


def test_a_folder_that_another_process_holds(tmp_path: Path, how: str):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
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
        assert subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], check=False).returncode == 1
    assert os.listdir(tmp_path) == ([] if how == "folder" else [LOCK])


def test_many_take_turns(tmp_path: Path, how: str):
    """Each counts one up in a file, which they could not without each other's turns."""
    count = f"""
{WITHOUT}
from limrank_plugins.errors import InputError
folder, file = Path(sys.argv[1]), Path(sys.argv[2])
done = 0
while done < 40:
    try:
        with alone_in(folder):
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
