"""Two ways to do one thing, run in turn in one process: by how much ours is faster, and scores differ."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Way = Callable[[], npt.NDArray[np.floating[Any]]]
"""Does all of the work once and gives its scores."""


@dataclass(frozen=True, slots=True)
class Contest:
    """A peer and us at the same work.

    Attributes:
        name: of the peer, and of the work.
        count: how many texts, pairs or queries the work is.
        ours: our way.
        theirs: the peer's.
        clock: gives the seconds that both are measured by; default: those that this process kept processors
            busy, all threads together, so that others on the machine disturb less.
    """

    name: str
    count: int
    ours: Way
    theirs: Way
    clock: Callable[[], float] = time.process_time


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a contest.

    Attributes:
        name: of the contest.
        ratio: the peer's time divided by ours, the median of all rounds.
        spread: the highest ratio of a round less the lowest.
        max_score_difference: the largest between the two ways' scores.
        milliseconds: ours for one text, pair or query; the median.
        their_milliseconds: the peer's.
    """

    name: str
    ratio: float
    spread: float
    max_score_difference: float
    milliseconds: float
    their_milliseconds: float


def run(contest: Contest, rounds: int, clock: Callable[[], float] | None = None) -> Outcome:
    """Run both ways in turn, every other round in the other order, after a round that is not timed.

    Args:
        contest: what is compared.
        rounds: that are timed, at least 1.
        clock: gives seconds; default: the contest's own.
    """
    clock = clock or contest.clock
    difference = float(np.max(np.abs(contest.ours() - contest.theirs()), initial=0.0))
    times: list[dict[str, float]] = []
    for number in range(rounds):
        ways = [("ours", contest.ours), ("theirs", contest.theirs)]
        took = {}
        for name, way in ways if number % 2 == 0 else reversed(ways):
            started = clock()
            way()
            took[name] = clock() - started
        times.append(took)
    ratios = [took["theirs"] / took["ours"] for took in times]
    ours, theirs = (
        1000 * statistics.median(took[name] for took in times) / contest.count for name in ("ours", "theirs")
    )
    spread = max(ratios) - min(ratios)
    return Outcome(contest.name, statistics.median(ratios), spread, difference, ours, theirs)


def clock_of(device: Any) -> Callable[[], float]:
    """A clock for work on a device of `torch`: processor seconds on a CPU, else those that pass.

    Other devices work on while the processor goes ahead: what is still being computed is waited for.
    """
    if device.type == "cpu":
        return time.process_time
    import torch

    def seconds() -> float:
        torch.accelerator.synchronize(device)
        return time.perf_counter()

    return seconds


def machine(*packages: str) -> dict[str, Any]:
    """What figures depend on beside the code: processor, threads, versions of these packages."""
    import torch

    return machine_without_torch("torch", *packages) | {"threads": torch.get_num_threads()}


def machine_without_torch(*packages: str) -> dict[str, Any]:
    """Processor and versions, for what torch has no part in."""
    versions: dict[str, str | None] = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {"processor": _processor(), "versions": versions}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
