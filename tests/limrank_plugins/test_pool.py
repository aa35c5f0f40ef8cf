"""Programs at their own pace: over a served model call by call, over a local one in full batches."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from scripts import full_backend

from limrank_plugins import ScriptedBackend, Store
from limrank_plugins.backends.metered import Metered, OverBudget, Purse
from limrank_plugins.backends.protocols import Failed, Generate, Generated
from limrank_plugins.backends.scripted import AsyncScriptedBackend, ScriptedFailure
from limrank_plugins.driver import Addressed
from limrank_plugins.ledger import Ledger
from limrank_plugins.pool import Incomplete, arun_pool, run_pool
from limrank_plugins.prices import Price
from limrank_plugins.reply_store import To
from limrank_plugins.segments import Prompt, Segment


def request(text: str) -> Generate:
    return Generate(Prompt((Segment(text),)), stop=(), max_tokens=9)


def program(backend: Any, name: str, steps: int) -> Addressed[str]:
    """Each step asks about what the last one gave."""
    text = name
    for step in range(steps):
        (reply,) = yield [To(backend, request(f"{text} {step}"))]
        if isinstance(reply, Failed):
            raise Incomplete(f"{name}: {reply.reason}")
        text = reply.text
    return text


@pytest.mark.parametrize("kind", [ScriptedBackend, AsyncScriptedBackend])
def test_every_program_gets_its_own_replies_in_its_own_order(tmp_path: Path, kind: type[ScriptedBackend]):
    backend = kind(generate=lambda prompt: f"{prompt.text}!")
    with Store(tmp_path / "s.sqlite") as store:
        programs = [program(backend, f"p{i}", i % 4) for i in range(30)]
        outcome = run_pool(programs, store, width=7)
        ends = ["".join(f" {step}!" for step in range(i % 4)) for i in range(30)]
        assert outcome.results == {i: f"p{i}{end}" for i, end in enumerate(ends)}
        asked = len(backend.requests)
        again = run_pool([program(backend, f"p{i}", i % 4) for i in range(30)], store, width=7)
        assert again.results == outcome.results
        assert len(backend.requests) == asked == sum(i % 4 for i in range(30))


def test_a_local_model_gets_the_requests_of_all_programs_that_are_ready(tmp_path: Path):
    backend = ScriptedBackend(generate=lambda prompt: f"{prompt.text}!")
    with Store(tmp_path / "s.sqlite") as store:
        run_pool([program(backend, f"p{i}", 3) for i in range(12)], store, width=12)
    assert backend.batches == [12, 12, 12]


def test_a_local_model_with_a_price_is_asked_in_batches_too(tmp_path: Path):
    backend = ScriptedBackend(generate=lambda prompt: f"{prompt.text}!")
    with Store(tmp_path / "s.sqlite") as store:
        metered = Metered(backend, Price(1.0, 1.0), Purse(max_cost=1.0))
        outcome = run_pool([program(metered, f"p{i}", 3) for i in range(12)], store, width=12)
    assert len(outcome.results) == 12
    assert backend.batches == [12, 12, 12]


async def test_a_slow_reply_holds_up_its_own_program_alone(tmp_path: Path):
    gate, ends = asyncio.Event(), []

    class Slow:
        name = identity = "slow"

        async def generate(self, requests: list[Generate]) -> list[Any]:
            if "p0" in requests[0].prompt.text:
                await gate.wait()
            return full_backend(generate=lambda prompt: prompt.text).generate(requests)  # type: ignore[attr-defined]

    def finished(position: int, result: str | None) -> None:
        ends.append(position)
        if len(ends) == 4:  # all but the slow one
            gate.set()

    backend = Slow()
    with Store(tmp_path / "s.sqlite") as store:
        programs = [program(backend, f"p{i}", 2) for i in range(5)]
        outcome = await arun_pool(programs, store, width=5, finished=finished)
    assert ends[-1] == 0
    assert len(outcome.results) == 5


def test_two_programs_with_one_request_ask_it_once(tmp_path: Path):
    for kind in (ScriptedBackend, AsyncScriptedBackend):
        backend = kind(generate=lambda prompt: f"{prompt.text}!")
        with Store(tmp_path / f"{kind.__name__}.sqlite") as store:
            run_pool([program(backend, "same", 2) for _ in range(9)], store, width=9)
        assert len(backend.requests) == 2


def test_what_lacks_a_reply_is_named_and_asked_again_by_the_next_run(tmp_path: Path):
    broken = True

    def generate(prompt: Prompt) -> str:
        if broken and "p1" in prompt.text:
            raise ScriptedFailure("HTTP 500")
        return prompt.text

    backend = AsyncScriptedBackend(generate=generate)
    with Store(tmp_path / "s.sqlite") as store:
        outcome = run_pool([program(backend, f"p{i}", 2) for i in range(3)], store)
        assert outcome.missing == {1: "p1: HTTP 500"}
        assert outcome.stopped is None
        broken = False
        asked = len(backend.requests)
        outcome = run_pool([program(backend, f"p{i}", 2) for i in range(3)], store)
        assert len(outcome.results) == 3
        assert len(backend.requests) == asked + 2


def test_offline_nobody_is_asked_and_open_requests_are_collected(tmp_path: Path):
    backend = AsyncScriptedBackend(generate=lambda prompt: prompt.text)
    with Store(tmp_path / "s.sqlite") as store:
        outcome = run_pool([program(backend, f"p{i}", 2) for i in range(3)], store, offline=True)
        assert backend.requests == []
        assert [to.request.prompt.text for to in outcome.unasked.values()] == ["p0 0", "p1 0", "p2 0"]  # type: ignore[union-attr]
        assert set(outcome.missing) == {0, 1, 2}


def test_a_budget_that_runs_out_ends_the_run_and_the_next_goes_on(tmp_path: Path):
    backend = AsyncScriptedBackend(generate=lambda prompt: "a b c")
    price = Price(completion=1e6)  # a dollar a token, nine at most for each call
    with Store(tmp_path / "s.sqlite") as store:
        purse = Purse(max_cost=20.0)
        metered = Metered(backend, price, purse)
        outcome = run_pool([program(metered, f"p{i}", 2) for i in range(9)], store, width=2)
        assert outcome.stopped is not None
        assert "may cost" in outcome.stopped
        assert purse.cost <= 20
        rest = run_pool([program(Metered(backend, price), f"p{i}", 2) for i in range(9)], store)
        assert len(rest.results) == 9
        assert len(backend.requests) == 10  # nine first steps, and one second that is the same for all


def limited(store: Store, pages: int) -> None:
    """As many pages as the file may have more than it has: a disk with so much room."""
    held = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={held + pages}")


@pytest.mark.parametrize(("kind", "sent"), [(ScriptedBackend, 20), (AsyncScriptedBackend, 1)])
def test_a_reply_that_cannot_be_kept_ends_the_run_and_is_paid_for(
    tmp_path: Path, kind: type[ScriptedBackend], sent: int
):
    """All requests to a served model wait for one place; none is sent once a reply is lost."""

    def programs(asked: Metered) -> list[Addressed[str]]:
        def each(name: str) -> Addressed[str]:
            replies = yield [To(asked, request(f"{name} {i}")) for i in range(5)]
            return " ".join(reply.text for reply in replies if isinstance(reply, Generated))

        return [each(f"p{i}") for i in range(4)]

    backend = kind(generate=lambda prompt: "x" * 100_000)
    with Store(tmp_path / "s.sqlite") as store:
        limited(store, 8)  # for what a call costs, not for what it brought
        ledger = Ledger(store)
        metered = Metered(backend, Price(completion=1e6), Purse(), ledger, concurrency=1)
        outcome = run_pool(programs(metered), store, width=4)
        assert outcome.stopped is not None
        assert re.search(r"answers are not kept in .*s\.sqlite: .*full; look whether", outcome.stopped)
        assert (outcome.results, set(outcome.missing)) == ({}, {0, 1, 2, 3})
        assert len(backend.requests) == sent
        assert (ledger.calls, ledger.cost, ledger.uncertain) == (1, Ledger(store).cost, 0)
        assert ledger.cost > 0
        limited(store, 100_000)
        again = run_pool(programs(Metered(backend, Price(), ledger=ledger)), store)
        assert len(again.results) == 4
        assert len(backend.requests) == sent + 20, "what was lost is asked again, and nothing else twice"


async def test_calls_that_wait_for_a_purse_are_refused_when_it_is_stopped():
    purse = Purse(1.0)
    await purse.reserve(1.0)
    waiting = asyncio.ensure_future(purse.reserve(1.0))
    await asyncio.sleep(0)
    purse.stop("the disk is full")
    with pytest.raises(OverBudget, match="the disk is full"):
        await waiting


def test_a_defect_ends_the_run(tmp_path: Path):
    def broken() -> Addressed[str]:
        yield []
        raise ZeroDivisionError

    with Store(tmp_path / "s.sqlite") as store, pytest.raises(ZeroDivisionError):
        run_pool([broken()], store)
