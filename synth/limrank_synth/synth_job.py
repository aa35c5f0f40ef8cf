"""What every run of the synthesizer's programs shares: folder, ledger, progress, what was left unasked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from limrank_plugins.backends.protocols import Backend, Failed, Generated, Reply
from limrank_plugins.begun_anew import Workplace, working_on
from limrank_plugins.data import Usage, check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.locks import alone_in
from limrank_plugins.outputs import make_folder
from limrank_plugins.pool import Incomplete, run_pool
from limrank_plugins.reply_store import To
from limrank_plugins.store import Store
from limrank_plugins.wording import exact_dollars
from limrank_synth.records import Rejection
from limrank_synth.role_requests import RoleProgram
from limrank_synth.roles import Roles
from limrank_synth.run_files import LEDGER
from limrank_synth.run_identity import RUN, RunIdentity
from limrank_synth.settings import SynthSettings

T = TypeVar("T")


@dataclass
class JobProgress:
    """Where a job stands; `on_progress` gets it after every change.

    Attributes:
        total, done: programs.
        asked: calls that were sent in this run.
        cost: dollars, earlier parts of the job and calls without a reply included.
        priced: whether all prices are known; else `cost` is of the known ones only.
        failed: programs that lack a reply; the next run goes on with them.
        kept, wanted: passages judged and passages wanted, by the finished programs.
    """

    total: int
    done: int = 0
    asked: int = 0
    cost: float = 0.0
    priced: bool = True
    failed: int = 0
    kept: int = 0
    wanted: int = 0

    @property
    def accepted(self) -> float:
        """The share of passages that came out of the stages; 1 before there are any."""
        return self.kept / self.wanted if self.wanted else 1.0


@dataclass(frozen=True)
class JobResult(Generic[T]):
    """What became of a job's programs.

    Attributes:
        results: of those that were finished, in the programs' order.
        unfinished: by id, why a program lacks a reply; another run goes on with it.
        unasked: requests without a reply, by key, where nobody was asked.
        work: `work.place` is where the results are written, and where they are in the end.
        report: of the calls, for `report.json`; its `cost` is None where a price is not known.
    """

    results: list[T]
    unfinished: dict[str, str]
    unasked: dict[str, To]
    work: Workplace
    report: dict[str, Any]


@contextmanager
def open_ledger(folder: Path) -> Iterator[tuple[Store, Ledger]]:
    """The ledger of a folder, which no other process may use meanwhile; both are made if not there.

    Raises:
        InputError: another process works in the folder, or its ledger is of an earlier version.
    """
    make_folder(folder)
    with alone_in(folder), Store(folder / LEDGER, max_bytes=None) as store:
        if any(store.each("synth answers")):
            raise InputError(
                f"{folder / LEDGER} was begun by an earlier version, whose replies this one cannot use and "
                f"would pay for again: finish the run with that version, or choose another folder"
            )
        yield store, Ledger(store)


@contextmanager
def run_job(
    programs: Sequence[RoleProgram[T]],
    ids: Sequence[str],
    settings: SynthSettings,
    folder: Path,
    *,
    identity: RunIdentity | None = None,
    files: Sequence[str] = (),
    offline: bool = False,
    fresh: bool = False,
    backends: Mapping[str, Backend] | None = None,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    say: Callable[[str], object] = lambda sentence: None,
    passages: Callable[[T], tuple[int, int]] = lambda result: (0, 0),
    rejections: Callable[[T], Sequence[Rejection]] = lambda result: (),
) -> Iterator[JobResult[T]]:
    """Run programs in a folder, and hold the folder until the block that writes their results ends.

    Replies found in the folder's ledger are not asked for; others are in it the moment they arrive.

    Args:
        programs: what is run.
        ids: of each, unique.
        settings: roles and limits.
        folder: of the ledger; made if it is not there.
        identity: what makes the folder this run's; None: whoever comes may go on in it.
        files: names of the results' files in the folder; those of a run of before are replaced.
        offline: ask nobody; requests without a reply are collected in `unasked`.
        fresh: begin anew; see `begun_anew`. What replies of before have cost stays in the bill.
        backends: see `Roles`.
        on_progress: told of every change; called on the event loop, so it must be quick.
        say: gets sentences for people: what was begun anew, or why a run stopped that cannot be written down.
        passages: of a result, how many passages were judged and how many were wanted.
        rejections: of a result; where one is a failure, the run is not finished.

    Raises:
        InputError: an id twice, another process in the folder, a ledger of an earlier version, or (unless
            `fresh`) another run in the folder.
    """
    check_unique(list(ids), "id")
    with open_ledger(folder) as (store, ledger), ExitStack() as held:
        own = partial(_results, names=(*files, RUN))
        same = {} if identity is None else identity.as_json()
        work = held.enter_context(working_on(folder, same, own, fresh=fresh, say=say))
        if identity is not None:
            identity.claim(work.place)
        replies = work.store(folder / LEDGER, max_bytes=None) if work.is_anew else store
        held.callback(replies.close)
        roles = Roles(settings, ledger, backends, offline=offline)
        progress = JobProgress(len(programs), cost=ledger.spent, priced=not settings.unpriced)

        def tell() -> None:
            progress.asked, progress.cost = ledger.sent, ledger.spent
            on_progress(progress)

        def finished(position: int, result: T | None) -> None:
            if result is None:
                progress.failed += 1
            else:
                kept, wanted = passages(result)
                progress.done += 1
                progress.kept, progress.wanted = progress.kept + kept, progress.wanted + wanted
            tell()

        try:
            pool = run_pool(
                [_addressed(program, roles, tell, offline) for program in programs],
                replies,
                # Each program asks several requests at a time: more of them would only hold memory.
                width=max(2, settings.concurrency),
                offline=offline,
                finished=finished,
            )
        finally:
            roles.close()
        unfinished = {
            name: pool.missing.get(position, pool.stopped or "not begun")
            for position, name in enumerate(ids)
            if position not in pool.results
        }
        calls = ledger.by_role()
        is_priced = all(settings.role(name).is_priced for name in calls)
        report = {
            "unfinished": unfinished,
            "stopped": pool.stopped,
            "faults": ledger.faults(),
            "calls": calls,
            "cost": exact_dollars(ledger.cost) if is_priced else None,
            "cost_uncertain": exact_dollars(ledger.uncertain),
            "calls_uncertain": ledger.uncertain_calls,
            "settings": settings.as_json(),
        }
        results = [pool.results[position] for position in sorted(pool.results)]
        try:
            yield JobResult(results, unfinished, pool.unasked, work, report)
        except OSError:
            if pool.stopped is not None:  # mostly for the same reason; nobody will read it in the report
                say(f"the run stopped: {pool.stopped}")
            raise
        if replies is not store:
            replies.close()
        failed = any(rejection.is_failure for result in results for rejection in rejections(result))
        work.end(is_finished=not unfinished and not failed)


def _results(folder: Path, names: Sequence[str]) -> list[Path]:
    """A run's files in its folder; none in one that no run of this version was begun in."""
    return [file for name in names if (folder / RUN).is_file() and (file := folder / name).is_file()]


def _addressed(
    program: RoleProgram[T], roles: Roles, tell: Callable[[], None], offline: bool
) -> Generator[list[To], list[Reply], T]:
    """The program with its requests put to the roles' backends.

    Where nobody is asked, every stored completion is an attempt of this run: rounds of batches must end.
    """
    try:
        requests = next(program)
        while True:
            replies = yield [roles.addressed(request) for request in requests]
            tell()
            completions = []
            for request, reply in zip(requests, replies, strict=True):
                if isinstance(reply, Failed):
                    raise Incomplete(f"{request.role}: {reply.reason}")
                assert isinstance(reply, Generated)
                completions.append(replace(reply, usage=Usage()) if offline else reply)
            requests = program.send(completions)
    except StopIteration as finished:
        result: T = finished.value
        return result
