"""A job of programs: the ledger first, each request once, within budget, whatever the order of replies."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import Answer, LoopbackServer

from limrank_plugins.backends.protocols import Failed, Generate, Generated, Reply
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.locks import alone_in
from limrank_plugins.prices import Price
from limrank_plugins.store import NotKept, Store
from limrank_synth.role_requests import RoleProgram, RoleRequest, chat_prompt
from limrank_synth.settings import Role, SynthSettings
from limrank_synth.synth_job import JobProgress, JobResult, open_ledger, run_job


def program(steps: list[list[str]]) -> RoleProgram[list[str]]:
    texts: list[str] = []
    for step in steps:
        replies = yield [RoleRequest("writer", chat_prompt(("user", text))) for text in step]
        texts += [reply.text for reply in replies]
    return texts


class Served:
    """A served model: says the request's own words, after a random number of turns; some requests fail."""

    name = identity = "served"

    def __init__(self, seed: int = 0, failing: Callable[[str], Failed | None] = lambda text: None) -> None:
        self.luck, self.failing = random.Random(seed), failing
        self.asked: Counter[str] = Counter()
        self.now = self.peak = 0

    async def generate(self, requests: Sequence[Generate]) -> list[Reply]:
        (request,) = requests
        text = request.prompt.text
        self.asked[text] += 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        for _ in range(self.luck.randrange(1, 4)):
            await asyncio.sleep(0)
        self.now -= 1
        return [self.failing(text) or Generated(f"<{text}>", "end")]


def drive(
    folder: Path, plans: Sequence[list[list[str]]], model: Any = None, concurrency: int = 4, **more: Any
) -> JobResult[list[str]]:
    programs = [program(plan) for plan in plans]
    known = SynthSettings({"writer": Role("m", base_url="http://localhost:1/v1")}, concurrency=concurrency)
    who = {} if model is None else {"backends": dict.fromkeys(("writer", "reasoner", "judge"), model)}
    with run_job(programs, [f"p{i}" for i in range(len(plans))], known, folder, **who, **more) as job:
        return job


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=4), max_size=7),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_every_program_gets_its_replies_and_nothing_is_asked_twice(
    tmp_path_factory: pytest.TempPathFactory, plans: list[list[list[str]]], concurrency: int, seed: int
):
    folder, model = tmp_path_factory.mktemp("job"), Served(seed)
    job = drive(folder, plans, model, concurrency)
    expected = [[f"<{text}>" for texts in plan for text in texts] for plan in plans]
    assert job.results == expected
    assert set(model.asked.values()) <= {1}
    assert model.peak <= concurrency
    assert (job.unfinished, job.report["stopped"]) == ({}, None)
    again = drive(folder, plans, offline=True)
    assert (again.results, again.unasked) == (expected, {})


def test_a_failure_is_its_programs_own_and_the_next_run_goes_on(tmp_path: Path):
    failing = Served(failing=lambda text: Failed("HTTP 500: oops") if text == "b" else None)
    plans = [[["a"], ["b", "c"], ["d"]], [["e"], ["c"]]]
    job = drive(tmp_path, plans, failing)
    assert job.results == [["<e>", "<c>"]]
    assert job.unfinished == {"p0": "writer: HTTP 500: oops"}
    assert failing.asked == {"a": 1, "b": 1, "c": 1, "e": 1}, "what others of its batch were asked is kept"
    with open_ledger(tmp_path) as (_, ledger):
        assert list(ledger.failures().values()) == ["HTTP 500: oops"]
    sound = Served()
    job = drive(tmp_path, plans, sound)
    assert job.results[0] == ["<a>", "<b>", "<c>", "<d>"]
    assert sound.asked == {"b": 1, "d": 1}


def test_what_concerns_every_call_stops_the_run(tmp_path: Path):
    known = SynthSettings({"writer": Role("m")}, concurrency=2)
    with LoopbackServer(lambda call: Answer({}, status=401)) as server:
        known = SynthSettings({"writer": Role("m", base_url=server.url)}, concurrency=2)
        programs = [program([[str(i)]]) for i in range(40)]
        with run_job(programs, [str(i) for i in range(40)], known, tmp_path) as job:
            pass
        assert server.served <= 2
    assert "HTTP 401" in job.report["stopped"]
    assert (job.results, job.report["cost_uncertain"]) == ([], 0)


def test_two_programs_that_wait_for_one_reply_that_fails(tmp_path: Path):
    failing = Served(failing=lambda text: Failed("no"))
    job = drive(tmp_path, [[["a", "b"]], [["a"]]], failing)
    assert set(job.unfinished) == {"p0", "p1"}
    assert failing.asked["a"] <= 2


def test_offline_nobody_is_asked(tmp_path: Path):
    plans = [[["a", "b"], ["c"]], [["b"]]]
    job = drive(tmp_path, plans, offline=True)
    texts = {to.request.prompt.text for to in job.unasked.values()}  # type: ignore[union-attr]
    assert texts == {"a", "b"}
    drive(tmp_path, [[["a", "b"]]], Served())
    job = drive(tmp_path, plans, offline=True)
    assert job.results == [["<b>"]]
    assert [to.request.prompt.text for to in job.unasked.values()] == ["c"]  # type: ignore[union-attr]


def test_defects_are_not_failures(tmp_path: Path):
    def broken() -> RoleProgram[None]:
        yield [RoleRequest("writer", chat_prompt(("user", "a")))]
        raise KeyError("a defect")

    known = SynthSettings({"writer": Role("m")})
    everyone = dict.fromkeys(("writer", "reasoner", "judge"), Served())
    with pytest.raises(KeyError, match="a defect"):
        with run_job([broken()], ["p"], known, tmp_path, backends=everyone):
            pass

    class Full(Served):
        async def generate(self, requests: Sequence[Generate]) -> list[Reply]:
            raise LimRankError("the ledger cannot be written: disk full")

    with pytest.raises(LimRankError, match="disk full"):
        drive(tmp_path, [[["c"]]], Full())


def test_a_run_that_cannot_keep_its_replies_says_so_where_no_report_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(store: Store, items: object) -> None:
        raise NotKept("answers are not kept: the disk is full")

    monkeypatch.setattr(Store, "keep_many", full)
    model, said = Served(), list[str]()
    job = drive(tmp_path, [[["a"]], [["b"]]], model, 1, say=said.append)
    assert (job.report["stopped"], said) == ("answers are not kept: the disk is full", [])
    assert (job.report["calls"]["writer"]["calls"], sum(model.asked.values())) == (1, 1)
    known = SynthSettings({"writer": Role("m")}, concurrency=1)
    everyone = dict.fromkeys(("writer", "reasoner", "judge"), model)
    programs = [program([["a"]])]
    with pytest.raises(OSError, match="no room"):
        with run_job(programs, ["p"], known, tmp_path, backends=everyone, say=said.append):
            raise OSError("no room for the report")
    assert said == ["the run stopped: answers are not kept: the disk is full"]


def test_progress(tmp_path: Path):
    seen: list[tuple[int, int, int]] = []

    def look(progress: JobProgress) -> None:
        seen.append((progress.asked, progress.done, progress.failed))
        assert progress.total == 3
        assert progress.accepted in (1.0, 0.5)

    failing = Served(failing=lambda text: Failed("no") if text == "c" else None)
    plans = [[["a"]], [["b"]], [["c"]]]
    drive(tmp_path, plans, failing, on_progress=look, passages=lambda texts: (1, 2))
    assert seen[-1] == (3, 2, 1)
    assert seen == sorted(seen, key=lambda entry: entry[1] + entry[2])


ROUNDED = 2e-10
"""What a report may be off: two amounts with ten decimals each."""


class Prices:
    """Completions of random numbers of tokens, as many as are allowed at most; some calls fail."""

    name = identity = "prices"

    def __init__(self, role: Role, seed: int) -> None:
        self.price, self.most, self.luck = role.price, role.max_tokens, random.Random(seed)
        self.billed = 0.0

    async def generate(self, requests: Sequence[Generate]) -> list[Reply]:
        (request,) = requests
        for _ in range(self.luck.randrange(3)):
            await asyncio.sleep(0)
        read = len(request.prompt.text) // self.luck.choice([1, 4])
        written = self.luck.choice([0, 1, self.most // 2, self.most])
        chance = self.luck.random()
        if chance < 0.1:
            return [Failed("HTTP 500: oops")]
        self.billed += self.price.cost(read, written)
        if chance < 0.2:
            return [Failed("no answer within 3 s", charged=True)]
        return [Generated("x", "end", usage=Usage(prompt_tokens=read, generated_tokens=written))]


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
    model, folder = Prices(role, seed), tmp_path_factory.mktemp("budget")
    everyone = dict.fromkeys(("writer", "reasoner", "judge"), model)
    bound = limit
    for _ in range(3):  # started again with the same limit, then a larger one
        known = SynthSettings({"writer": role}, max_cost=bound, concurrency=concurrency)
        plans = [[[f"{i} {at} {'x' * (i % 5) * 100}"] for at in range(4)] for i in range(6)]
        programs = [program(plan) for plan in plans]
        with run_job(programs, [str(i) for i in range(6)], known, folder, backends=everyone) as job:
            spent = job.report["cost"] + job.report["cost_uncertain"]
        assert model.billed <= bound * (1 + 1e-9)
        assert model.billed <= spent * (1 + 1e-9) + ROUNDED
        assert len(job.results) + len(job.unfinished) == 6
        if job.report["stopped"] is not None:
            assert "are spent" in job.report["stopped"]
            dearest = Price(price_in, price_out).cost(6 * 134 + 400, most)
            assert spent + dearest > bound * (1 - 1e-9), "it stopped with enough left"
        with open_ledger(folder) as (_, ledger):  # what is read back is what was known
            assert ledger.spent == pytest.approx(spent, rel=1e-9, abs=ROUNDED)
        bound *= 2


def test_a_ledger_of_the_version_before_is_refused_and_not_asked_again(tmp_path: Path):
    with Store(tmp_path / "ledger.sqlite") as store:
        store.commit("synth answers", "0" * 64, b'{"role": "writer", "reply": {"text": "x"}}')
    model = Served()
    with pytest.raises(InputError, match="begun by an earlier version"):
        drive(tmp_path, [[["a"]]], model)
    assert model.asked == {}


def test_one_process_at_a_time(tmp_path: Path):
    with alone_in(tmp_path):
        with pytest.raises(InputError, match="another process is working in"):
            drive(tmp_path, [[["a"]]], Served())
    assert drive(tmp_path, [[["a"]]], Served()).results == [["<a>"]]
