"""Never more is spent than allowed: the purse, the bound of a call, and the engine with both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.store import Store
from limrank_synth.asking import Asking, Message, Question, Reply
from limrank_synth.budget import OverBudget, Purse, most_it_can_cost
from limrank_synth.engine import Engine
from limrank_synth.ledger import Ledger
from limrank_synth.settings import Role, SynthSettings


def program(number: int, calls: int) -> Asking[int]:
    for at in range(calls):
        yield [Question("writer", (Message("user", f"{number} {at} {'x' * (number % 5) * 100}"),))]
    return number


class Prices:
    """Answers with random numbers of tokens, as many as are allowed at most; some calls fail."""

    def __init__(self, role: Role, seed: int) -> None:
        self.role, self.luck = role, random.Random(seed)
        self.billed = 0.0
        self.sent = 0

    async def send(self, question: Question, note: Callable[[str], None]) -> Reply:
        for _ in range(self.luck.randrange(3)):
            await asyncio.sleep(0)
        self.sent += 1
        read = sum(len(message.text) for message in question.messages) // self.luck.choice([1, 4])
        written = self.luck.choice([0, 1, self.role.max_tokens // 2, self.role.max_tokens])
        what = self.luck.random()
        if what < 0.1:
            raise CallFailed("HTTP 500: oops", 500)
        self.billed += self.role.cost(read, written)
        if what < 0.2:
            raise CallFailed("no answer within 3 s", late=True)
        return Reply("x", prompt_tokens=read, written_tokens=written, cost=self.role.cost(read, written))


@settings(deadline=None, max_examples=25)
@given(
    st.floats(0, 1e3),
    st.floats(0, 1e3),
    st.integers(1, 5000),
    st.floats(1e-6, 3),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_no_bill_is_ever_above_the_limit(
    tmp_path_factory: pytest.TempPathFactory,
    price_in: float,
    price_out: float,
    most: int,
    limit: float,
    concurrency: int,
    seed: int,
):
    role = Role("m", price_in=price_in, price_out=price_out, max_tokens=most)
    sender = Prices(role, seed)
    file = tmp_path_factory.mktemp("budget") / "ledger.sqlite"
    bound = limit
    for _ in range(3):  # started again with the same limit, then a larger one
        given = SynthSettings({"writer": role}, max_cost=bound, concurrency=concurrency)
        with Store(file) as store:
            ledger = Ledger(store)
            engine: Engine[int] = Engine(given, ledger, sender)
            driven = asyncio.run(engine.run([program(number, 4) for number in range(6)]))
            assert sender.billed <= bound * (1 + 1e-9)
            assert sender.billed <= ledger.spent * (1 + 1e-9) + 1e-12
            assert set(driven.results) | set(driven.missing) | {0, 1, 2, 3, 4, 5} == {0, 1, 2, 3, 4, 5}
            if driven.stopped is not None:
                assert "are spent" in driven.stopped
                dearest = role.cost(6 * 100 + 400, most)
                assert ledger.spent + dearest > bound * (1 - 1e-9), "it stopped with enough left"
        with Store(file) as store:  # what is read back is what was known
            assert Ledger(store).spent == pytest.approx(ledger.spent, rel=1e-9, abs=1e-12)
        bound *= 2


def test_a_call_waits_for_those_that_may_turn_out_cheaper():
    async def scene() -> None:
        purse = Purse(0.0, 1.0)
        await purse.reserve(0.7)
        second = asyncio.create_task(purse.reserve(0.7))
        await asyncio.sleep(0)
        assert not second.done()
        await purse.settle(0.7, 0.2)
        await second
        third = asyncio.create_task(purse.reserve(0.7))
        await purse.settle(0.7, 0.7)
        with pytest.raises(OverBudget, match=r"\$0\.9000 of \$1\.0000 are spent"):
            await third

    asyncio.run(scene())


@given(st.lists(st.text(max_size=50), max_size=4), st.integers(0, 50))
def test_the_bound_is_above_every_count_of_tokens(texts: list[str], written: int):
    role = Role("m", price_in=1e6, price_out=1e6, max_tokens=50)
    question = Question("writer", tuple(Message("user", text) for text in texts))
    # A byte-level tokenizer at its worst: a token for every byte, and five for a message's frame.
    tokens = sum(len(text.encode("utf-8")) + 5 for text in texts) + 3
    assert role.cost(tokens, written) <= most_it_can_cost(question, role)
