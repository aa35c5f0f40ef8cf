"""The pool of some runs judged by a model into a folder, which goes on after a kill and keeps to a budget.

Every reply is in the folder's store the moment it arrives, and the ledger beside it has what it cost: the
same command asks only for what is missing, with more runs or a greater depth, too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from limrank_evals.guarded_folders import STORE, evaluation_files, keep_settings, working_in
from limrank_evals.judging.judging_report import OUTPUTS, SCHEMA, JudgedPair, Judging, write_judging
from limrank_evals.judging.relevance_judge import UMBRELA, GradeReply, RelevanceJudge, judge_template
from limrank_plugins.arguments import takes
from limrank_plugins.backends import backend_class
from limrank_plugins.backends.metered import Purse, most_tokens
from limrank_plugins.backends.protocols import Backend, Closes, Generate
from limrank_plugins.begun_anew import working_on
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.pool import PoolResult, run_pool
from limrank_plugins.prices import Price
from limrank_plugins.store import Store
from limrank_plugins.wording import exact_dollars, in_dollars, number_of
from limrank_plugins.writer import writing_backend

Pairs = Sequence[tuple[Query, Document]]
_ALL = 1 << 62
"""Bytes: replies that were paid for are never evicted."""


@dataclass(frozen=True, slots=True)
class JudgeSetup:
    """Which model judges, and how it is asked; arguments as for `RelevanceJudge`."""

    model: str
    backend: str = "openai"
    template: str = UMBRELA
    max_tokens: int = 1024
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_served(self) -> bool:
        """Whether each call is one to a server, which may have a price."""
        return inspect.iscoroutinefunction(getattr(backend_class(self.backend), "generate", None))


class Bill(NamedTuple):
    """What is still to be asked.

    Attributes:
        calls: how many.
        prompts: dollars of their prompts, at most; None where the price is not known.
        replies: dollars of what may be written, if every reply spent its whole budget; None likewise.
    """

    calls: int
    prompts: float | None
    replies: float | None

    @property
    def cost(self) -> float | None:
        """Dollars at most."""
        return None if self.prompts is None or self.replies is None else self.prompts + self.replies


def expected_bill(pairs: Pairs, setup: JudgeSetup, folder: Path) -> Bill:
    """What judging would still cost, and how many calls it is.

    Asks nobody, writes nothing, loads no model and needs no key.

    Args:
        pairs: to be judged.
        setup: of the judge.
        folder: of a judging that was begun; replies in it are not asked for again.

    Raises:
        InputError: as for the judge.
    """
    if not setup.is_served:
        judge_template(setup.template)
        return Bill(len(pairs), 0.0, 0.0)
    if takes(setup.backend, "api_key"):
        setup = replace(setup, options={"api_key": "not-asked", **setup.options})
    with _backend(setup) as backend:
        store = Store(folder / STORE, max_bytes=_ALL) if (folder / STORE).is_file() else None
        try:
            return _bill(pairs, _judge(setup, backend, store))
        finally:
            if store is not None:
                store.close()


def judge_into(
    folder: Path,
    pairs: Pairs,
    setup: JudgeSetup,
    *,
    max_cost: float | None = None,
    fresh: bool = False,
    make_report: Callable[[Sequence[JudgedPair], Mapping[str, Any]], Judging],
    say: Callable[[str], object] = lambda sentence: None,
    progress: Callable[[str, int, int], None] = lambda stage, finished, total: None,
) -> tuple[Judging, Path]:
    """Have a model grade pairs, and write the files of the judging into a folder.

    Args:
        folder: where everything goes; one that another judge was asked in is refused.
        pairs: queries and documents.
        setup: of the judge.
        max_cost: dollars for all of it, earlier parts included.
        fresh: begin anew; see `begun_anew`.
        make_report: of the pairs and of what they cost.
        say: gets sentences for people, such as what it may cost before it starts.
        progress: told of the stage, of the pairs that are done, and of all.

    Returns:
        The report, and where its files are: the folder, unless something failed that was begun anew.

    Raises:
        InputError: the folder of another judging, or a limit of dollars without a known price.
        BackendError: not one pair was judged: nothing is written.
    """
    with _backend(setup) as backend, working_in(folder):
        price: Price | None = getattr(backend, "price", None)
        if max_cost is not None and setup.is_served and price is None:
            raise InputError(
                f"--max-cost needs the price of {setup.model}, which is not known: give --option "
                f"token_price=… and --option completion_price=…, dollars for a million tokens"
            )
        settings = {
            "model": setup.model,
            "backend": backend.identity,
            "template": judge_template(setup.template).digest,
            "max_tokens": setup.max_tokens,
            "seed": setup.seed,
        }
        with working_on(folder, settings, judging_files, fresh=fresh, say=say) as work:
            keep_settings(work.place, SCHEMA, settings)
            with Store(work.place / STORE, max_bytes=_ALL) as store:
                purse = Purse(max_cost, cost=Ledger(store).spent)
                judge = _judge(setup, backend, store, price=price or Price(), purse=purse)
                say(bill_words(_bill(pairs, judge), setup))
                outcome = _ask(pairs, judge, progress)
                ledger = Ledger(store)
                is_known = price is not None or not setup.is_served
                asked = {
                    "stopped": outcome.stopped,
                    "calls": ledger.calls,
                    "tokens": ledger.tokens,
                    "cost": exact_dollars(ledger.cost) if is_known else None,
                    "cost_uncertain": exact_dollars(ledger.uncertain),
                }
            judged = [_judged(pair, outcome, place) for place, pair in enumerate(pairs)]
            if not any(pair.grade is not None for pair in judged):
                raise BackendError(
                    f"none of the {number_of(len(judged), 'pair')} could be judged, so there are no "
                    f"judgements to write; the first one: {judged[0].failure}. The same command asks again"
                )
            report = make_report(judged, asked)
            write_judging(work.place, report)
            work.end(is_finished=not report.failures)
    return report, work.place


def judging_files(folder: Path) -> list[Path]:
    """What a judging has written into its folder; see `begun_anew.working_on`.

    Raises:
        InputError: the folder is another kind of evaluation's.
    """
    return evaluation_files(folder, SCHEMA, OUTPUTS)


def bill_words(bill: Bill, setup: JudgeSetup) -> str:
    """A bill in a sentence."""
    calls = number_of(bill.calls, "call")
    if not bill.calls:
        return f"nothing is to be asked of {setup.model}: all replies are there"
    if not setup.is_served:
        return f"{calls} to {setup.model} on this machine"
    if bill.cost is None or bill.prompts is None or bill.replies is None:
        return (
            f"{calls} to {setup.model}; cost not known (give --option token_price=… and --option "
            f"completion_price=…)"
        )
    return (
        f"{calls} to {setup.model}, at most {in_dollars(bill.cost)}: prompts {in_dollars(bill.prompts)}, "
        f"replies {in_dollars(bill.replies)} if each spent its {number_of(setup.max_tokens, 'token')} "
        f"(--max-tokens)"
    )


@contextmanager
def _backend(setup: JudgeSetup) -> Iterator[Backend]:
    backend = writing_backend("a relevance judge", setup.backend, setup.model, setup.options)
    try:
        yield backend
    finally:
        if isinstance(backend, Closes):
            backend.close()


def _judge(setup: JudgeSetup, backend: Backend, store: Store | None, **held: Any) -> RelevanceJudge:
    return RelevanceJudge(
        None,
        backend,
        template=setup.template,
        max_tokens=setup.max_tokens,
        seed=setup.seed,
        store=store,
        **held,
    )


def _bill(pairs: Pairs, judge: RelevanceJudge) -> Bill:
    """What is not in the store, at its dearest, as a purse puts it aside."""
    programs = [judge.addressed(judge.grade(*pair)) for pair in pairs]
    unasked = [to.request for to in run_pool(programs, judge.store, offline=True).unasked.values()]
    price: Price | None = getattr(judge.backend, "price", None)
    if price is None and inspect.iscoroutinefunction(getattr(judge.backend, "generate", None)):
        return Bill(len(unasked), None, None)
    sizes = [most_tokens(request) for request in unasked if isinstance(request, Generate)]
    read, written = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
    price = price or Price()
    return Bill(len(unasked), price.cost(read, 0), price.cost(0, written))


def _ask(
    pairs: Pairs, judge: RelevanceJudge, progress: Callable[[str, int, int], None]
) -> PoolResult[GradeReply]:
    finished = 0

    def tell(position: int, reply: GradeReply | None) -> None:
        nonlocal finished
        finished += 1
        progress("judging", finished, len(pairs))

    return run_pool([judge.addressed(judge.grade(*pair)) for pair in pairs], judge.store, finished=tell)


def _judged(pair: tuple[Query, Document], outcome: PoolResult[GradeReply], place: int) -> JudgedPair:
    reply = outcome.results.get(place)
    if reply is None:
        why = outcome.missing.get(place, outcome.stopped or "not asked")
        reply = GradeReply(None, failure=why)
    query, document = pair
    return JudgedPair(query.id or "", document.id or "", *reply)
