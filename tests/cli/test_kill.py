"""`limrank rerank` killed with SIGKILL: it ends with the same file, and computes nothing committed twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest
from limrank_command import limrank
from needs import needs_mini

from limrank_plugins import samples

pytestmark = needs_mini
QUERIES = Path(samples.__file__).parent / "queries.jsonl"


def command(queries: Path, output: Path, cache: Path) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).with_name("limrank")
    environment = {**os.environ, "LIMRANK_CACHE": str(cache)}
    return subprocess.Popen(
        [str(program), *map(str, arguments(queries, output))], env=environment, stderr=subprocess.PIPE
    )


def arguments(queries: Path, output: Path) -> list[object]:
    return ["rerank", "--queries", queries, "--corpus", "samples", "-o", output, "--k", "4"]


def finish(queries: Path, output: Path, cache: Path) -> None:
    limrank(output.parent, *arguments(queries, output), LIMRANK_CACHE=str(cache))


def committed(cache: Path) -> list[int]:
    """How often each committed query was computed."""
    file = cache / "store.sqlite"
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)) as database:
        try:
            return [row[0] for row in database.execute("SELECT computed FROM journal")]
        except sqlite3.OperationalError:  # killed before the tables were made
            return []


def kill_after(process: subprocess.Popen[bytes], cache: Path, wanted: int, luck: random.Random) -> bool:
    """Kill the process once `wanted` queries are committed, or at a random step of waiting for that."""
    patience = luck.randrange(1, 60)
    while process.poll() is None:
        if len(committed(cache)) >= wanted:
            patience -= 1
            if patience <= 0:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                return True
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.001)
    process.communicate()
    return False


def run_with_kills(tmp_path: Path, kills: int, seed: int, total: int) -> None:
    luck = random.Random(seed)
    queries = tmp_path / "queries.jsonl"
    queries.write_text("".join(QUERIES.read_text().splitlines(keepends=True)[:total]))
    finish(queries, tmp_path / "whole.trec", tmp_path / "whole-cache")
    expected = (tmp_path / "whole.trec").read_bytes()
    done, rounds = 0, 0
    while done < kills:
        rounds += 1
        cache = tmp_path / f"cache{rounds}"
        output = tmp_path / f"killed{rounds}.trec"
        # Several kills in one job, at rising points of it, then it may end.
        for wanted in sorted(luck.sample(range(total), k=min(4, kills - done))):
            before = len(committed(cache))
            killed = kill_after(command(queries, output, cache), cache, max(wanted, before), luck)
            done += killed
            assert not output.exists() or output.read_bytes() == expected, "half a file"
        finish(queries, output, cache)
        assert output.read_bytes() == expected
        counts = committed(cache)
        assert len(counts) == total
        assert set(counts) == {1}, "a committed query was computed twice"
        assert not list(tmp_path.glob(".killed*")), "a temporary file was left behind"


def test_a_kill(tmp_path: Path):
    run_with_kills(tmp_path, 1, seed=1, total=10)


@pytest.mark.soak
def test_twenty_kills(tmp_path: Path):
    run_with_kills(tmp_path, 20, seed=2, total=len(samples.queries()))
