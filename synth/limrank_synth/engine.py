"""Drives the seeds' programs: committed answers first, then calls, each written down as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_synth.asking import Asking, Question, Reply
from limrank_synth.budget import OverBudget, Purse, most_it_can_cost
from limrank_synth.ledger import Ledger
from limrank_synth.settings import SynthSettings

T = TypeVar("T")


class Sends(Protocol):
    """Whoever can get a reply to a question."""

    async def send(self, question: Question, note: Callable[[str], None]) -> Reply:
        """The reply, or `CallFailed`.

        Args:
            question: what is asked.
            note: told the kind of everything that goes wrong on the way, whether or not it is repaired.
        """


@dataclass
class Progress:
    """Where a run stands; given to `on_progress` after every change.

    Attributes:
        total, done: programs.
        asked: calls that were sent in this run.
        cost: dollars, earlier parts of the run and calls without an answer included.
        failed: programs that lack an answer; the next run goes on with them.
        made, tried: passages judged and passages wanted, by the finished programs.
    """

    total: int
    done: int = 0
    asked: int = 0
    cost: float = 0.0
    failed: int = 0
    made: int = 0
    tried: int = 0

    @property
    def accepted(self) -> float:
        """The share of passages that came out of the stages; 1 before there are any."""
        return self.made / self.tried if self.tried else 1.0


@dataclass
class Driven(Generic[T]):
    """What became of the programs.

    Attributes:
        results: by position; a program without a result lacks an answer.
        missing: why, by position.
        wanted: the questions that could not be answered from the ledger, where nothing was sent.
        stopped: why the run ended before all programs did, or None.
        asked: calls that were sent.
    """

    results: dict[int, T] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    wanted: dict[str, Question] = field(default_factory=dict)
    stopped: str | None = None
    asked: int = 0


class _Lacking(Exception):
    """A program cannot go on: its message says why."""


class Engine(Generic[T]):
    """Runs programs against a ledger and whoever answers.

    Args:
        settings: roles, concurrency and limits.
        ledger: where answers are found and committed.
        sender: who is asked what is not in the ledger; None: nobody, such questions are collected.
        on_progress: told about every change; called on the event loop, so it must be quick.
        yields: of a result, how many items were made and how many were wanted.
    """

    def __init__(
        self,
        settings: SynthSettings,
        ledger: Ledger,
        sender: Sends | None,
        on_progress: Callable[[Progress], None] | None = None,
        yields: Callable[[T], tuple[int, int]] | None = None,
    ) -> None:
        self._settings, self._ledger, self._sender = settings, ledger, sender
        self._tell, self._yields = on_progress, yields

    async def run(self, programs: Sequence[Asking[T]]) -> Driven[T]:
        """Drive all programs to their ends, or as far as answers and budget go."""
        driven: Driven[T] = Driven()
        self._driven = driven
        self._progress = Progress(len(programs), cost=self._ledger.spent)
        self._slots = asyncio.Semaphore(self._settings.concurrency)
        self._purse = Purse(self._ledger.spent, self._settings.max_cost)
        self._under_way: dict[str, asyncio.Future[Reply]] = {}
        waiting = iter(enumerate(programs))
        # Each program asks several questions at a time: more of them would only hold memory.
        width = max(2, self._settings.concurrency)

        async def worker() -> None:
            for position, program in waiting:
                if driven.stopped is not None:
                    return
                await self._one(position, program)
                await asyncio.sleep(0)  # or a run that replays the ledger could not be interrupted

        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(programs))):
                group.create_task(worker())
        return driven

    async def _one(self, position: int, program: Asking[T]) -> None:
        driven, progress = self._driven, self._progress
        try:
            questions = next(program)
            while True:
                replies = await self._answered(questions)
                questions = program.send(replies)
        except StopIteration as finished:
            driven.results[position] = finished.value
            progress.done += 1
            if self._yields is not None:
                made, tried = self._yields(finished.value)
                progress.made, progress.tried = progress.made + made, progress.tried + tried
        except OverBudget as over:
            driven.stopped = driven.stopped if driven.stopped is not None else str(over)
            driven.missing[position] = str(over)
        except _Lacking as lacking:
            driven.missing[position] = str(lacking)
            progress.failed += 1
        self._told()

    async def _answered(self, questions: Sequence[Question]) -> list[Reply]:
        """All replies; calls that others of the batch are waiting for are finished and committed."""
        keys = [self._key(question) for question in questions]
        # A run that goes on finds most of its answers here: no task is made for them.
        known = [self._ledger.find(key) for key in keys]
        if all(reply is not None for reply in known):
            return [reply for reply in known if reply is not None]
        asked = map(self._reply, questions, keys, known)
        found = await asyncio.gather(*asked, return_exceptions=True)
        problems = [one for one in found if isinstance(one, BaseException)]
        unexpected = [one for one in problems if not isinstance(one, _Lacking | OverBudget)]
        for problem in [*unexpected, *problems]:
            raise problem
        return [one for one in found if isinstance(one, Reply)]

    def _key(self, question: Question) -> str:
        return question.key(f"{self._settings.seed}:{self._settings.role(question.role).shaping}")

    async def _reply(self, question: Question, key: str, known: Reply | None) -> Reply:
        # Looked for again: another program may have had the same question answered since.
        known = known if known is not None else self._ledger.find(key)
        if known is not None:
            return known
        if self._sender is None:
            self._driven.wanted[key] = question
            raise _Lacking("an answer is not in the ledger")
        if key in self._under_way:  # two programs with one question ask it once
            return await asyncio.shield(self._under_way[key])
        self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._sent(key, question)
        except BaseException as error:
            waiters = self._under_way.pop(key)
            waiters.set_exception(error)
            waiters.exception()  # looked at, so that nobody warns when there were no others
            raise
        self._under_way.pop(key).set_result(reply)
        return reply

    async def _sent(self, key: str, question: Question) -> Reply:
        assert self._sender is not None
        role = self._settings.role(question.role)
        async with self._slots:
            if self._driven.stopped is not None:
                raise OverBudget(self._driven.stopped)
            most = most_it_can_cost(question, role)
            await self._purse.reserve(most)
            self._ledger.open(key, most)
            # What is paid for a call whose end nobody saw; a cancelled one stays open in the ledger.
            cost = most
            try:
                self._driven.asked += 1
                self._progress.asked += 1
                reply = await self._sender.send(question, self._ledger.note_fault)
                # Before anything else can happen: what is committed is never sent again.
                self._ledger.commit(key, question, role.model, reply)
                self._ledger.close(key, most)
                cost = reply.cost
            except CallFailed as failure:
                if _is_free(failure):
                    self._ledger.close(key, most)
                    cost = 0.0
                self._ledger.note_failure(key, question, role.model, str(failure))
                if failure.fatal:
                    self._driven.stopped = str(failure)
                raise _Lacking(f"{question.role}: {failure}") from None
            finally:
                await self._purse.settle(most, cost)
                self._progress.cost = self._ledger.spent
        self._told()
        return reply

    def _told(self) -> None:
        if self._tell is not None:
            self._tell(self._progress)


def _is_free(failure: CallFailed) -> bool:
    """Whether a call that failed cannot have been charged for: the server refused it, or never got it."""
    return not failure.late and failure.status != 200
