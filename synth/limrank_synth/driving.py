"""What every run of programs shares: the folder, the ledger, the engine, and what was left unanswered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from limrank_plugins.data import check_unique
from limrank_plugins.files import alone_in
from limrank_plugins.store import Store
from limrank_synth.asking import Asking, Question
from limrank_synth.engine import Driven, Engine, Progress, Sends
from limrank_synth.ledger import Ledger
from limrank_synth.run_files import LEDGER
from limrank_synth.settings import SynthSettings

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of programs.

    Attributes:
        results: of those that were finished, in the programs' order.
        unfinished: by id, why a program lacks an answer; another run goes on with it.
        wanted: questions without an answer, by key, where nothing was sent.
        report: of the calls, for `report.json`.
    """

    results: list[T]
    unfinished: dict[str, str]
    wanted: dict[str, Question]
    report: dict[str, Any]


@contextmanager
def driven(
    programs: Sequence[Asking[T]],
    ids: Sequence[str],
    settings: SynthSettings,
    folder: Path,
    sender: Sends | None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[Outcome[T]]:
    """Run programs in a folder, and hold the folder until the block that writes their results ends.

    Args:
        programs: what is run.
        ids: of each, unique.
        settings: roles and limits.
        folder: of the ledger; made if it is not there.
        sender: who answers; None: nobody is asked.
        on_progress: told about every change.

    Raises:
        InputError: an id twice, or another process works in the folder.
    """
    check_unique(list(ids), "id")
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder), Store(folder / LEDGER) as store:
        ledger = Ledger(store)
        engine: Engine[T] = Engine(settings, ledger, sender, on_progress)
        done = asyncio.run(_run(engine, programs, sender))
        unfinished = {
            ids[i]: done.missing.get(i, done.stopped or "not begun")
            for i in range(len(ids))
            if i not in done.results
        }
        report = {
            "unfinished": unfinished,
            "stopped": done.stopped,
            "faults": ledger.faults(),
            "calls": ledger.by_role(),
            "cost": ledger.cost,
            "cost_uncertain": ledger.uncertain,
            "settings": settings.as_json(),
        }
        yield Outcome([done.results[i] for i in sorted(done.results)], unfinished, done.wanted, report)


async def _run(engine: Engine[T], programs: Sequence[Asking[T]], sender: Sends | None) -> Driven[T]:
    try:
        return await engine.run(programs)
    except ExceptionGroup as several:
        # Any of them ends the run: a ledger that cannot be written, or a defect.
        raise several.exceptions[0] from several
    finally:
        close = getattr(sender, "aclose", None)
        if close is not None:
            await close()
