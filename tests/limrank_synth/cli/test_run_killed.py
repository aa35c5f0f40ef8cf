"""`limrank synth run` killed with SIGKILL under faults: the same set in the end, nothing asked in vain."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from servers import LoopbackServer
from synth_command import Workplace, holds_secret
from synth_server import ScriptedModel

CONCURRENCY = 8


class Ended:
    """Tells the server's waiters when a process has ended by itself, so that nobody waits for it in vain."""

    def __init__(self, process: subprocess.Popen[str], server: LoopbackServer) -> None:
        self.so = False
        self._process, self._server = process, server
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        self._process.wait()
        self.so = True
        self._server.look_again()


def undisturbed(folder: Path, seeds: int) -> tuple[bytes, int]:
    """The set that a run without faults on the wire and without kills makes, and its number of answers."""
    folder.mkdir()
    model = ScriptedModel(text=0.1)
    with LoopbackServer(model, remember=False) as server:
        place = Workplace(folder, server, model, seeds)
        place.finish()
        assert set(model.answered.values()) == {1}, "without faults everything is asked once"
        return place.rows, len(model.answered)


def killed_again_and_again(tmp_path: Path, seeds: int, kills: int, luck: int) -> None:
    expected, total = undisturbed(tmp_path / "whole", seeds)
    rng = random.Random(luck)
    (tmp_path / "killed").mkdir()
    model = ScriptedModel(wire=0.1, text=0.1)
    errors = []
    with LoopbackServer(model, remember=False) as server:
        place = Workplace(tmp_path / "killed", server, model, seeds, {"timeout": 3.0})
        done = 0
        frozen: dict[str, int] = {}  # what was committed at a kill, and how often it had been sent then
        while done < kills:
            process = place.start()
            left = max(1, (total - len(model.answered)) // (kills - done + 1))
            moment = server.served + rng.randrange(1, left + left // 2 + 2)
            ended = Ended(process, server)
            server.wait_for(lambda s, m=moment, e=ended: s.served >= m or e.so)
            process.send_signal(signal.SIGKILL)
            _, said = process.communicate()
            if process.returncode != -signal.SIGKILL:
                # Everything that could be answered at once was: faults of the wire end a run early.
                assert process.returncode == 1, said
                errors.append(said)
                continue
            done += 1
            errors.append(said)
            committed = place.committed()
            assert set(committed.values()) <= {1}, "an answer was committed twice"
            for key, ours in place.asked().items():
                if ours in committed:
                    frozen.setdefault(key, model.seen[key])
        errors.append(place.finish().stderr)
        assert place.rows == expected
        assert {key: model.seen[key] for key in frozen} == frozen, "a committed prompt was sent again"
        again = sum(number - 1 for number in model.answered.values())
        assert again <= kills * CONCURRENCY, "more was sent again than could be in flight"
        assert len(model.answered) == total
        assert set(place.committed()) == set(place.asked().values())
        # On the wire, everything was counted that got as far as a process that lived on.
        faults = place.report["faults"]
        faults.pop("timeout", None)  # this machine may be slow all by itself
        for kind, number in faults.items():
            assert number <= model.faults[kind], kind
        assert sum(faults.values()) >= sum(model.faults[kind] for kind in faults) - kills * CONCURRENCY
        assert place.report["unfinished"] == {}
        assert not list(place.output.glob(".*")), "a temporary file was left behind"
        assert not holds_secret(place.folder, errors)


def test_three_kills(tmp_path: Path):
    killed_again_and_again(tmp_path, seeds=12, kills=3, luck=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twenty_five_kills_of_two_hundred_seeds(tmp_path: Path):
    killed_again_and_again(tmp_path, seeds=200, kills=25, luck=2)
