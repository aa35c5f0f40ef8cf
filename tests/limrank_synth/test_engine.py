"""The engine: the ledger first, each question once, failures apart, whatever the order of answers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.errors import LimRankError
from limrank_plugins.store import Store
from limrank_synth.asking import Asking, Message, Question, Reply
from limrank_synth.engine import Driven, Engine, Progress
from limrank_synth.ledger import Ledger
from limrank_synth.settings import Role, SynthSettings


def ask(text: str) -> Question:
    return Question("writer", (Message("user", text),))


def program(steps: list[list[str]]) -> Asking[list[str]]:
    heard: list[str] = []
    for texts in steps:
        replies = yield [ask(text) for text in texts]
        heard += [reply.text for reply in replies]
    return heard


class Sender:
    """Answers with the question's own words, after a random number of turns; some fail."""

    def __init__(self, seed: int = 0, failing: Callable[[str], Exception | None] = lambda text: None) -> None:
        self.luck, self.failing = random.Random(seed), failing
        self.asked: Counter[str] = Counter()
        self.now = self.peak = 0

    async def send(self, question: Question, note: Callable[[str], None]) -> Reply:
        text = question.messages[0].text
        self.asked[text] += 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            for _ in range(self.luck.randrange(1, 4)):
                await asyncio.sleep(0)
            error = self.failing(text)
            if error is not None:
                note("HTTP 500")
                raise error
            return Reply(f"<{text}>", prompt_tokens=1, written_tokens=1)
        finally:
            self.now -= 1


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Store(tmp_path / "ledger.sqlite") as store:
        yield Ledger(store)


def drive(
    ledger: Ledger, programs: list[Asking[Any]], sender: Sender | None, concurrency: int = 4, **more: Any
) -> Driven[Any]:
    engine: Engine[Any] = Engine(
        SynthSettings({"writer": Role("m")}, concurrency=concurrency), ledger, sender, **more
    )
    return asyncio.run(engine.run(programs))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=4), max_size=4), max_size=7),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_every_program_hears_its_answers_and_nothing_is_asked_twice(
    tmp_path_factory: pytest.TempPathFactory, plans: list[list[list[str]]], concurrency: int, seed: int
):
    sender = Sender(seed)
    with Store(tmp_path_factory.mktemp("engine") / "l.sqlite") as store:
        ledger = Ledger(store)
        driven = drive(ledger, [program(plan) for plan in plans], sender, concurrency)
        expected = {i: [f"<{text}>" for texts in plan for text in texts] for i, plan in enumerate(plans)}
        assert driven.results == expected
        assert set(sender.asked.values()) <= {1}
        assert sender.peak <= concurrency
        assert (driven.missing, driven.stopped, driven.asked) == ({}, None, sum(sender.asked.values()))
        again = drive(ledger, [program(plan) for plan in plans], None)
        assert (again.results, again.wanted) == (expected, {})


def test_a_failure_is_its_programs_own_and_the_next_run_goes_on(ledger: Ledger):
    failing = Sender(failing=lambda text: CallFailed("HTTP 500: oops", 500) if text == "b" else None)
    plans = [[["a"], ["b", "c"], ["d"]], [["e"], ["c"]]]
    driven = drive(ledger, [program(plan) for plan in plans], failing)
    assert driven.results == {1: ["<e>", "<c>"]}
    assert driven.missing == {0: "writer: HTTP 500: oops"}
    assert failing.asked == {"a": 1, "b": 1, "c": 1, "e": 1}, "what others of its batch were asked is kept"
    assert ledger.faults() == {"HTTP 500": 1}
    assert list(ledger.failures().values()) == ["HTTP 500: oops"]
    sound = Sender()
    driven = drive(ledger, [program(plan) for plan in plans], sound)
    assert driven.results[0] == ["<a>", "<b>", "<c>", "<d>"]
    assert sound.asked == {"b": 1, "d": 1}
    assert ledger.failures() == {}


def test_what_concerns_every_call_stops_the_run(ledger: Ledger):
    wrong = Sender(failing=lambda text: CallFailed("HTTP 401: wrong key", 401))
    driven = drive(ledger, [program([[str(i)]]) for i in range(40)], wrong, concurrency=2)
    assert driven.stopped == "HTTP 401: wrong key"
    assert sum(wrong.asked.values()) <= 2
    assert driven.results == {}


def test_two_programs_that_wait_for_one_answer_that_fails(ledger: Ledger):
    failing = Sender(failing=lambda text: CallFailed("no", 500))
    driven = drive(ledger, [program([["a", "b"]]), program([["a"]])], failing)
    assert set(driven.missing) == {0, 1}
    assert failing.asked["a"] <= 2


def test_nobody_to_ask(ledger: Ledger):
    driven = drive(ledger, [program([["a", "b"], ["c"]]), program([["b"]])], None)
    assert {question.messages[0].text for question in driven.wanted.values()} == {"a", "b"}
    for key, question in driven.wanted.items():
        ledger.commit(key, question, "m", Reply("x"))
    driven = drive(ledger, [program([["a", "b"], ["c"]]), program([["b"]])], None)
    assert driven.results == {1: ["x"]}
    assert [question.messages[0].text for question in driven.wanted.values()] == ["c"]


def test_defects_are_not_failures(ledger: Ledger):
    def broken() -> Asking[None]:
        yield [ask("a")]
        raise KeyError("a defect")

    with pytest.raises(ExceptionGroup) as found:
        drive(ledger, [broken(), program([["b"]])], Sender())
    assert found.group_contains(KeyError)

    class Full(Sender):
        async def send(self, question: Question, note: Callable[[str], None]) -> Reply:
            raise LimRankError("the ledger cannot be written: disk full")

    with pytest.raises(ExceptionGroup) as found:
        drive(ledger, [program([["c"]])], Full())
    assert found.group_contains(LimRankError, match="disk full")


def test_progress(ledger: Ledger):
    seen: list[tuple[int, int, int]] = []

    def look(now: Progress) -> None:
        seen.append((now.asked, now.done, now.failed))
        assert now.total == 3
        assert now.accepted in (1.0, 0.5)

    failing = Sender(failing=lambda text: CallFailed("no", 500) if text == "c" else None)
    plans = [program([["a"]]), program([["b"]]), program([["c"]])]
    drive(ledger, plans, failing, on_progress=look, yields=lambda heard: (1, 2))
    assert seen[-1] == (3, 2, 1)
    assert seen == sorted(seen, key=lambda one: one[1] + one[2])
