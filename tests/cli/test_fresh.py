"""`--fresh` of real processes: what was finished before stays until the new is finished, killed or failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from servers import LoopbackServer, toy
from small_jobs import BULK, EVAL, RERANK, Sick, killed_at, limrank, work

pytest.importorskip("openai", reason="needs pip install 'limrank[openai]'")

__all__ = ["work"]  # the fixture

COMMANDS = {
    "rerank": ((*RERANK, "--store", "mine.sqlite"), ("run.trec", "mine.sqlite"), ".run.trec.limrank-fresh"),
    "eval": (EVAL, ("out",), "out/.limrank-fresh"),
    "eval-store": ((*EVAL, "--store", "mine.sqlite"), ("out", "mine.sqlite"), "out/.limrank-fresh"),
    "bulk": (BULK, ("bulk",), "bulk/.limrank-fresh"),
}


def files(work: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """All files of the results, but what is begun anew."""
    places = [work / name for name in names]
    found = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    return {
        str(file.relative_to(work)): file.read_bytes()
        for file in found
        if file.is_file() and "limrank-fresh" not in str(file)
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_finished_result_stays_until_the_new_one_is_finished(work: Path, name: str):
    command, results, place = COMMANDS[name]
    with LoopbackServer(toy) as server:
        limrank(work, server, *command)
        asked = server.served
        if (work / results[0]).is_dir():
            (work / results[0] / "notes.txt").write_text("mine")
        before, beside = files(work, results), sorted(os.listdir(work))

        server._script = Sick("casein")
        done = limrank(work, server, *command, "--fresh", code=1)
        assert files(work, results) == before
        assert "the result of before stays in" in done.stderr
        assert (work / place).is_dir()

        first = server.served
        killed_at(work, server, asked, *command, "--fresh")
        assert server.served - first == asked, "--fresh starts over again"
        assert files(work, results) == before

        first = server.served
        done = limrank(work, server, *command)
        assert "going on with what --fresh began" in done.stderr
        assert 0 < server.served - first < asked, "what was asked before the kill is not asked again"
        assert not (work / place).exists()
        assert sorted(os.listdir(work)) == beside
        after = files(work, results)
        assert set(after) == set(before)
        assert {f: b for f, b in after.items() if "sqlite" not in f} == {
            f: b for f, b in before.items() if "sqlite" not in f
        }, "equal replies are an equal result"

        first = server.served
        limrank(work, server, *command)
        assert server.served == first, "the new one is finished"


@pytest.mark.parametrize("name", ["rerank", "eval", "bulk"])
def test_nothing_is_begun_by_a_command_that_is_refused(work: Path, name: str):
    command, results, _ = COMMANDS[name]
    with LoopbackServer(toy) as server:
        limrank(work, server, *command)
        before, beside = files(work, results), sorted(os.listdir(work))
        limrank(work, server, *command, "--fresh", "--template", "no such", code=2)
    assert files(work, results) == before
    assert sorted(os.listdir(work)) == beside
    assert not list(work.rglob("*limrank-fresh*"))
