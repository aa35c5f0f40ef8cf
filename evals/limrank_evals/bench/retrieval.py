"""Indexing and searching many passages, beside the first stages that others use: time, memory, disk.

Every first stage runs in a process of its own, so that its memory is its own; ours and a peer's search in
turn, as `interleaved.run` has it. Times are CPU seconds of those processes, all threads together.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limrank_evals.bench import passages as texts
from limrank_evals.bench.first_stages import OURS, PEERS, FirstStage, Hits
from limrank_evals.bench.interleaved import Contest, run
from limrank_plugins.errors import BackendError, LimRankError, MissingExtra, one_sentence

QUICK, FULL = 2_000, 20_000
"""Passages, where nobody says how many: so many that every peer takes them."""
_ENDS_WITHIN = 10  # seconds
_TIE = 1e-3  # of scores, between which the best ten are not told apart


@dataclass(frozen=True, slots=True)
class Measured:
    """What a first stage took.

    Attributes:
        name: of the first stage.
        index_seconds: CPU seconds to index, reading and writing included; imports are not.
        peak_bytes: the most memory of its process while it indexed, Python and imports included.
        disk_bytes: of what it keeps on disk; 0 for one that keeps nothing.
        queries_per_second: queries by CPU second, the median of the rounds.
        ratio: by how much ours searches faster, the median of the rounds; None for ours.
        spread: of the ratio, the highest of a round less the lowest.
        same_best: the share of the best ten that are the same as ours; None where scores are others.
        max_score_difference: the largest between the scores of a passage that both found; likewise.
        not_measured: why it was not, else empty; all numbers are then 0.
    """

    name: str
    index_seconds: float = 0.0
    peak_bytes: int = 0
    disk_bytes: int = 0
    queries_per_second: float = 0.0
    ratio: float | None = None
    spread: float | None = None
    same_best: float | None = None
    max_score_difference: float | None = None
    not_measured: str = ""


def measured(
    count: int, corpus: str | None = None, *, queries: int, rounds: int, peers: Sequence[FirstStage] = PEERS
) -> Iterator[Measured]:
    """Ours beside itself, which says how steady the figures are, then each peer.

    Args:
        count: of passages.
        corpus: whose sentences they are made of; default: the sample collection.
        queries: how many are searched for in a round.
        rounds: that are timed.
        peers: what ours is compared with.

    Raises:
        InputError: there is no such corpus, or no sentence in it.
    """
    source = texts.sentences(corpus)
    asked = texts.queries(source, queries)
    with _indexing(OURS, source, count) as mine:
        yield _compared(mine, mine, OURS, asked, rounds)
        for peer in peers:
            if peer.most is not None and count > peer.most:
                yield Measured(
                    peer.name, not_measured=f"more than {peer.most:,} passages are too many for it"
                )
                continue
            try:
                with _indexing(peer, source, count) as theirs:
                    yield _compared(mine, theirs, peer, asked, rounds)
            except MissingExtra as error:
                yield Measured(peer.name, not_measured=f"not installed: {one_sentence(error)}")
            except LimRankError as error:
                yield Measured(peer.name, not_measured=one_sentence(error))


class _Indexed:
    """A first stage in a process of its own, when it has indexed.

    Attributes:
        spent: CPU seconds that it has searched for so far.
    """

    def __init__(self, name: str, pipe: Any, first: dict[str, Any]) -> None:
        self._name, self._pipe = name, pipe
        self.index_seconds: float = first["seconds"]
        self.peak_bytes: int = first["peak"]
        self.disk_bytes: int = first["disk"]
        self.spent = 0.0

    def search(self, queries: Sequence[str]) -> list[Hits]:
        """The best passages of each query."""
        self._pipe.send(list(queries))
        found = _received(self._name, self._pipe)
        self.spent += found["seconds"]
        hits: list[Hits] = found["hits"]
        return hits


@contextmanager
def _indexing(stage: FirstStage, source: Sequence[str], count: int) -> Iterator[_Indexed]:
    """Index in a new process, which lives as long as the block."""
    processes = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="limrank-bench-")))
        here, there = processes.Pipe()
        arguments = there, stage, list(source), count, folder
        process = processes.Process(target=_work, args=arguments, daemon=True)
        process.start()
        there.close()
        stack.callback(process.join)
        stack.callback(process.kill)
        stack.callback(here.close)
        yield _Indexed(stage.name, here, _received(stage.name, here))
        here.close()  # nothing more to search: it ends by itself, and leaves nothing behind
        process.join(_ENDS_WITHIN)


def _received(name: str, pipe: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] | LimRankError = pipe.recv()
    except EOFError:
        raise BackendError(f"{name} ended, perhaps for want of memory") from None
    if isinstance(found, LimRankError):
        raise found
    return found


def _work(pipe: Any, stage: FirstStage, source: Sequence[str], count: int, folder: Path) -> None:
    """In the process: index, say what that took, then search whatever comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it, who ends it
    try:
        # Once with a few passages: what is imported, compiled or started for the first is no part of it.
        few = folder / "few"
        few.mkdir()
        stage.build(texts.passages(source, 20), few)(source[0])
        shutil.rmtree(few)
        started = time.process_time()
        search = stage.build(texts.passages(source, count), folder)
        seconds = time.process_time() - started
    except LimRankError as error:
        pipe.send(error)
        return
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a peer, the others are measured
        pipe.send(BackendError(f"{stage.name} failed: {one_sentence(error)}"))
        return
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    pipe.send({"seconds": seconds, "peak": _peak(), "disk": disk})
    with suppress(EOFError):
        while True:
            queries = pipe.recv()
            started = time.process_time()
            hits = [search(query) for query in queries]
            pipe.send({"seconds": time.process_time() - started, "hits": hits})


def _peak() -> int:
    """The most memory that this process held; 0 where the system does not say."""
    # Not ru_maxrss, which begins with what the parent process held.
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    return 0


def _compared(
    mine: _Indexed, theirs: _Indexed, stage: FirstStage, queries: Sequence[str], rounds: int
) -> Measured:
    last: dict[int, list[Hits]] = {}

    def way(indexed: _Indexed) -> Any:
        last[id(indexed)] = indexed.search(queries)
        return np.zeros(0)

    contest = Contest(stage.name, len(queries), lambda: way(mine), lambda: way(theirs))
    outcome = run(contest, rounds, lambda: mine.spent + theirs.spent)
    is_ours = mine is theirs
    alike = stage.same_formula
    ours, others = last[id(mine)], last[id(theirs)]
    return Measured(
        stage.name,
        theirs.index_seconds,
        theirs.peak_bytes,
        theirs.disk_bytes,
        1000 / outcome.their_milliseconds,
        None if is_ours else outcome.ratio,
        outcome.spread,
        _same_best(ours, others) if alike else None,
        _difference(ours, others) if alike else None,
    )


def _same_best(ours: Sequence[Hits], theirs: Sequence[Hits]) -> float:
    """The share of their best ten that is among ours or ties with the last of ours."""
    same = total = 0
    for mine, others in zip(ours, theirs, strict=True):
        ids, least = {name for name, _ in mine}, mine[-1][1] if mine else 0.0
        same += sum(name in ids or abs(score - least) < _TIE for name, score in others if score > 0)
        total += sum(score > 0 for _, score in others)
    return same / total if total else 1.0


def _difference(ours: Sequence[Hits], theirs: Sequence[Hits]) -> float:
    """The largest between the scores of a passage that both found."""
    differences = [
        abs(score - dict(mine)[name])
        for mine, others in zip(ours, theirs, strict=True)
        for name, score in others
        if name in dict(mine)
    ]
    return max(differences, default=0.0)
