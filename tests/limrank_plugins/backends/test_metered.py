"""What is spent never exceeds the budget, whatever fails, and everything paid for is written down."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Answer, LoopbackServer

from limrank_plugins import ScriptedBackend, Store
from limrank_plugins.backends.metered import Metered, OverBudget, Purse, most_tokens
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import Failed, Generate, Generated
from limrank_plugins.backends.scripted import AsyncScriptedBackend
from limrank_plugins.driver import run
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.prices import Price
from limrank_plugins.reply_store import To
from limrank_plugins.segments import Prompt, Segment
from limrank_plugins.wording import number_of

PRICE = Price(prompt=1.0, completion=10.0)


def requests(count: int, max_tokens: int = 5) -> list[Generate]:
    return [Generate(Prompt((Segment(f"write {i}"),)), stop=(), max_tokens=max_tokens) for i in range(count)]


def dearest(request: Generate) -> float:
    return PRICE.cost(*most_tokens(request))


def chat(text: str, prompt: int = 7, written: int = 2) -> Any:
    usage = {"prompt_tokens": prompt, "completion_tokens": written}
    return {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}], "usage": usage}


def test_tokens_from_the_servers_cache_have_their_own_price():
    usage = {"prompt_tokens": 100, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 60}}
    with LoopbackServer(lambda call: chat("a b") | {"usage": usage}) as server:
        backend = OpenAIBackend("m", base_url=server.url, api="chat")
        purse = Purse()
        metered = Metered(backend, Price(prompt=2.0, completion=8.0, cached=0.5), purse)
        [reply] = asyncio.run(metered.generate(requests(1)))
        backend.close()
    assert reply.usage.cost == pytest.approx((40 * 2.0 + 60 * 0.5 + 2 * 8.0) / 1e6)
    assert purse.cost == reply.usage.cost
    assert reply.usage.priced == 1


@pytest.mark.parametrize("kind", [ScriptedBackend, AsyncScriptedBackend])
def test_costs_are_tokens_times_price_and_are_written_down(tmp_path: Path, kind: type[ScriptedBackend]):
    with Store(tmp_path / "s.sqlite") as store:
        ledger, purse = Ledger(store), Purse()
        backend = Metered(
            kind(generate=lambda prompt: "a b c"), PRICE, purse, ledger, role="writer", model="m"
        )
        replies = asyncio.run(backend.generate(requests(3)))
        costs = [(2 * 1.0 + 3 * 10.0) / 1e6] * 3
        assert [reply.usage.cost for reply in replies] == pytest.approx(costs)
        assert purse.cost == pytest.approx(sum(costs))
        assert (ledger.cost, ledger.calls, ledger.tokens, ledger.uncertain) == (
            pytest.approx(sum(costs)),
            3,
            15,
            0,
        )
        again = Ledger(store)
        assert again.by_role() == ledger.by_role()
        assert again.by_role()["writer"]["calls"] == 3
        assert (again.cost, again.spent) == (ledger.cost, ledger.spent)


@pytest.mark.parametrize("kind", [ScriptedBackend, AsyncScriptedBackend])
@given(affordable=st.integers(0, 6), slack=st.floats(0, 0.9))
def test_no_call_is_sent_that_could_exceed_the_budget(
    kind: type[ScriptedBackend], affordable: int, slack: float
):
    # Every reply is as dear as it can be: as many calls are sent as the budget pays for at their dearest.
    wanted = requests(6)
    backend = kind(generate=lambda prompt: "a b c d e")
    most = dearest(wanted[0])
    purse = Purse(max_cost=most * (affordable + slack) + 1e-15)
    metered = Metered(backend, PRICE, purse, concurrency=2)
    stored: dict[int, Generated] = {}
    try:
        asyncio.run(metered.generate(wanted, stored.__setitem__))  # type: ignore[arg-type]
        finished = True
    except OverBudget:
        finished = False
    # Replies are cheaper than the dearest, so that more may be sent than `affordable`; never too many.
    assert purse.cost <= most * (affordable + slack) + 1e-12
    assert len(stored) == len(backend.requests) >= min(affordable, 6)
    assert finished == (len(stored) == 6)


def test_a_refused_call_is_free_and_one_without_a_usable_reply_is_not(tmp_path: Path):
    def script(call: Any) -> Any:
        return Answer(status=400) if "write 0" in call.prompt else {"choices": []}

    with LoopbackServer(script) as server, Store(tmp_path / "s.sqlite") as store:
        ledger = Ledger(store)
        served = OpenAIBackend(
            "m",
            base_url=server.url,
            server="generic",
            api="chat",
            max_retries=0,
            on_fault=ledger.note_fault,
        )
        wanted = requests(2)
        replies = asyncio.run(Metered(served, PRICE, Purse(), ledger).generate(wanted))
        served.close()
        assert [isinstance(reply, Failed) for reply in replies] == [True, True]
        assert [reply.charged for reply in replies] == [False, True]  # type: ignore[union-attr]
        assert ledger.uncertain == pytest.approx(dearest(wanted[1]))
        assert ledger.faults() == {"HTTP 400": 1, "reply": 1}
        assert len(ledger.failures()) == 2
        assert Ledger(store).spent == ledger.spent


async def _at_once(seconds: float) -> None:
    """Do not wait between two tries."""


@pytest.mark.parametrize("is_repaired", [True, False])
@pytest.mark.parametrize(
    ("fault", "uncertain"),
    [
        (Answer(chat("cut off in its middle"), keep=20), 1),
        (Answer(reset=True), 1),
        (Answer(status=504), 1),
        (Answer(status=502), 1),
        (Answer(status=500), 0),
        (Answer(status=503), 0),
        (Answer(status=429), 0),
    ],
    ids=["cut off", "reset", "504", "502", "500", "503", "429"],
)
def test_a_try_that_a_server_may_have_charged_for_is_held_against_the_budget(
    tmp_path: Path, fault: Answer, uncertain: int, is_repaired: bool
):
    def script(call: Any) -> Any:
        return chat("at last") if is_repaired and call.number == 2 else fault

    with LoopbackServer(script) as server, Store(tmp_path / "s.sqlite") as store:
        ledger, purse = Ledger(store), Purse(max_cost=1.0)
        served = OpenAIBackend(
            "m", base_url=server.url, server="generic", api="chat", max_retries=2, sleep=_at_once
        )
        wanted = requests(1)
        (reply,) = asyncio.run(Metered(served, PRICE, purse, ledger).generate(wanted))
        served.close()
        assert server.served == 3
        tries = uncertain * (2 if is_repaired else 3)
        assert isinstance(reply, Failed) != is_repaired
        assert reply.usage.uncertain == tries
        assert ledger.uncertain_calls == tries
        paid = PRICE.cost(7, 2) if is_repaired else 0.0
        assert ledger.cost == pytest.approx(paid)
        assert ledger.uncertain == pytest.approx(tries * dearest(wanted[0]))
        assert purse.cost == pytest.approx(paid + tries * dearest(wanted[0]))
        assert Ledger(store).spent == pytest.approx(purse.cost)


def test_what_a_failed_request_has_cost_before_it_failed_is_not_lost():
    def script(call: Any) -> Any:
        return chat("thought</think>", 7, 2) if call.number == 0 else Answer(status=400)

    with LoopbackServer(script) as server:
        served = OpenAIBackend("m", base_url=server.url, server="generic", api="chat", max_retries=0)
        request = Generate(Prompt((Segment("write"),)), ("</think>",), max_tokens=5, labels=("yes", "no"))
        (reply,) = asyncio.run(served.generate([request]))
        served.close()
    assert isinstance(reply, Failed)
    assert (reply.usage.prompt_tokens, reply.usage.generated_tokens, reply.usage.uncertain) == (7, 2, 0)


def test_a_wrong_key_concerns_every_call_and_costs_nothing(tmp_path: Path):
    with LoopbackServer(lambda call: Answer(status=401)) as server, Store(tmp_path / "s.sqlite") as store:
        ledger, purse = Ledger(store), Purse(max_cost=1.0)
        served = OpenAIBackend("m", base_url=server.url, server="generic", api="chat", max_retries=0)
        with pytest.raises(BackendError, match="401"):
            asyncio.run(Metered(served, PRICE, purse, ledger).generate(requests(2)))
        served.close()
        assert (ledger.uncertain, purse.cost) == (0, 0)


def test_a_reply_is_in_the_store_before_it_is_written_down_as_paid(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        seen: list[int] = []

        class Watching(Ledger):
            def pay(self, *bill: Any, **said: Any) -> None:
                seen.append(store.answer_bytes())
                super().pay(*bill, **said)

        metered = Metered(
            AsyncScriptedBackend(generate=lambda prompt: "a"), PRICE, ledger=Watching(store), concurrency=1
        )

        def program():  # type: ignore[no-untyped-def]
            return (yield [To(metered, request) for request in requests(3)])

        run(program(), store)
        assert seen[0] > 0
        assert seen == sorted(set(seen))


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), True, "1"])
def test_prices_that_make_no_sense(value: Any):
    with pytest.raises(InputError, match="must be a number >= 0"):
        Price(prompt=value)


def test_what_cannot_write_has_no_price():
    with pytest.raises(InputError, match="cannot write"):
        Metered(ScriptedBackend(), PRICE)


def test_a_reply_that_does_not_say_what_it_took_is_as_dear_as_it_can_be():
    class Silent:
        name = identity = "silent"
        sent = 0

        async def generate(self, requests: list[Generate]) -> list[Generated]:
            self.sent += 1
            return [Generated("a", "stop")]

    backend, wanted = Silent(), requests(20)
    purse = Purse(max_cost=dearest(wanted[0]) * 3.2)
    with pytest.raises(OverBudget):
        asyncio.run(Metered(backend, PRICE, purse).generate(wanted))
    assert backend.sent == 3


def test_a_request_that_was_paid_for_twice_cost_twice(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        backend = AsyncScriptedBackend(generate=lambda prompt: "a b c")
        for _ in range(2):
            asyncio.run(Metered(backend, PRICE, ledger=Ledger(store)).generate(requests(1)))
        assert Ledger(store).cost == pytest.approx(2 * (2 * 1.0 + 3 * 10.0) / 1e6)
        assert Ledger(store).calls == 2


@pytest.mark.parametrize("replies", [[], [Generated("a", "stop")] * 3])
def test_too_few_or_too_many_replies_are_a_sentence_and_nothing_stays_put_aside(replies: list[Generated]):
    class Losing:
        name = identity = "losing"

        def generate(self, requests: list[Generate]) -> list[Generated]:
            return replies

    purse = Purse(max_cost=1.0)
    with pytest.raises(BackendError, match=f"gave {number_of(len(replies), 'reply')} to 2 requests"):
        asyncio.run(Metered(Losing(), PRICE, purse).generate(requests(2)))
    good = Metered(ScriptedBackend(generate=lambda prompt: "a"), PRICE, purse)
    assert len(asyncio.run(good.generate(requests(2)))) == 2  # and does not wait for what is gone


def test_a_ledger_that_cannot_be_written_leaves_nothing_put_aside(tmp_path: Path):
    class Full(Ledger):
        def open(self, key: str, most: float) -> str:
            raise BackendError("disk full")

    with Store(tmp_path / "s.sqlite") as store:
        purse = Purse(max_cost=dearest(requests(1)[0]) * 1.5)
        for kind in (ScriptedBackend, AsyncScriptedBackend):
            metered = Metered(kind(generate=lambda prompt: "a"), PRICE, purse, Full(store))
            with pytest.raises(BackendError, match="disk full"):
                asyncio.run(metered.generate(requests(2)))
        fine = Metered(ScriptedBackend(generate=lambda prompt: "a"), PRICE, purse)
        assert len(asyncio.run(fine.generate(requests(1)))) == 1


def test_giving_back_twice_takes_nothing_from_others():
    async def twice() -> None:
        purse = Purse(max_cost=10.0)
        first, second = await purse.reserve(1.0), await purse.reserve(1.0)
        purse.settle(first, 0.5)
        purse.settle(first, 0.5)
        purse.settle(second, 0.25)
        assert purse.cost == 0.75

    asyncio.run(twice())
