"""Both ways run in turn; ratios are taken round by round, and scores are compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from limrank_command import limrank

from limrank_evals.bench.interleaved import Contest, Outcome, machine, run
from limrank_evals.cli import bench


def contest(times: dict[str, list[float]], clock: list[float], order: list[str]) -> Contest:
    def way(name: str, scores: list[float]) -> Callable[[], np.ndarray]:
        took = iter([0.0, *times[name]])  # the first is not timed

        def work() -> np.ndarray:
            order.append(name)
            clock[0] += next(took)
            return np.asarray(scores)

        return work

    return Contest("peer, work", 4, way("ours", [0.5, 0.25]), way("theirs", [0.5, 0.0]))


def test_the_median_of_the_rounds_in_turn():
    clock, order = [0.0], list[str]()
    made = contest({"ours": [2.0, 4.0, 4.0], "theirs": [4.0, 4.0, 12.0]}, clock, order)
    found = run(made, 3, lambda: clock[0])
    assert order == ["ours", "theirs", "ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert found == Outcome("peer, work", 2.0, 2.0, 0.25, 1000.0, 1000.0)
    assert asdict(found).keys() >= {"name", "ratio", "spread", "max_score_difference"}


def test_the_table_and_the_json(capsys: pytest.CaptureFixture[str]):
    about = {"processor": "P", "threads": 1, "versions": {"torch": "2"}}
    clock = iter(np.arange(0, 1000, 0.5).tolist())
    many = [Contest(name, 2, lambda: np.ones(2), lambda: np.zeros(2)) for name in ("one, short texts", "two")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.process_time", lambda: next(clock))
        bench.report("encoders", many, about, rounds=3, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["bench"], printed["rounds"], printed["processor"]) == ("encoders", 3, "P")
    assert [peer["name"] for peer in printed["peers"]] == ["one, short texts", "two"]
    assert {peer["max_score_difference"] for peer in printed["peers"]} == {1.0}


def test_the_machine_is_named():
    pytest.importorskip("torch", reason="not installed: pip install 'limrank[mini]'")
    found = machine("numpy", "no-such-package")
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["no-such-package"] is None
    assert found["threads"] >= 1
    assert found["processor"]


def test_the_group_lists_its_subjects(tmp_path: Path):
    assert "encoders" in limrank(tmp_path, "bench", "--help").stdout
