"""A judging against a real server: resumed, failing, short of money, and what lies in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from servers import Answer, Call, LoopbackServer, chat

from limrank_evals.comparison import Resampling
from limrank_evals.judgements import about_judgements, read_judgements
from limrank_evals.judging.judging_job import JudgeSetup, bill_words, expected_bill, judge_into
from limrank_evals.judging.judging_report import JudgedPair, Judging, build_judging
from limrank_evals.judging.pooling import PooledRun
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError

PAIRS = [
    (Query(f"query {q}", f"q{q}"), Document(f"passage {d}", f"d{d}")) for q in range(3) for d in range(4)
]
RUN = PooledRun("run", {f"q{q}": [f"d{d}" for d in range(4)] for q in range(3)})
PRICES = {"token_price": 1.0, "completion_price": 2.0}


def grade_of(call: Call) -> int:
    query, passage = (call.prompt.split(f"{name}: ")[1].split("\n")[0] for name in ("Query", "Passage"))
    return (int(query[-1]) + int(passage[-1])) % 4


def graded(call: Call) -> Any:
    usage = {"prompt_tokens": 300, "completion_tokens": 10}
    return {**chat(None, f"##final score: {grade_of(call)}"), "usage": usage}


def setup(server: LoopbackServer, **options: Any) -> JudgeSetup:
    given = {"base_url": server.url, "api": "chat", "server": "generic", "max_retries": 0, **options}
    return JudgeSetup("m", options=given, max_tokens=20)


def report_of(judged: Sequence[JudgedPair], asked: Mapping[str, Any]) -> Judging:
    return build_judging(
        judged, [RUN], judge={"model": "m"}, asked=asked, settings={}, resampling=Resampling(resamples=50)
    )


judge = partial(judge_into, make_report=report_of)


def test_a_judging_asks_once_and_marks_what_it_writes(tmp_path: Path):
    said: list[str] = []
    with LoopbackServer(graded) as server:
        judging, place = judge(tmp_path / "j", PAIRS, setup(server, **PRICES), say=said.append)
        assert server.served == 12
        files = {file.name: file.read_bytes() for file in place.iterdir() if "store" not in file.name}
        judge(tmp_path / "j", PAIRS, setup(server, **PRICES), say=said.append)
        assert server.served == 12
    assert {name: (place / name).read_bytes() for name in files} == files
    wanted = {f"q{q}": {f"d{d}": (q + d) % 4 for d in range(4)} for q in range(3)}
    assert read_judgements(place / "qrels.trec") == judging.qrels == wanted
    assert about_judgements(place / "qrels.trec") == [
        f"the judgements in {place / 'qrels.trec'} are a model's (m), not people's"
    ]
    report = json.loads(files["report.json"])
    assert report["grades"] == {"0": 3, "1": 3, "2": 3, "3": 3}
    assert (report["calls"], report["tokens"]) == (12, 12 * 310)
    assert report["cost"] == pytest.approx(12 * (300 * 1 + 10 * 2) / 1e6)
    assert said[0].startswith("12 calls to m, at most $0.")
    assert said[1] == "nothing is to be asked of m: all replies are there"


def test_the_bill_is_an_upper_bound_and_shrinks(tmp_path: Path):
    with LoopbackServer(graded) as server:
        bill = expected_bill(PAIRS, setup(server, **PRICES), tmp_path / "j")
        assert (bill.calls, server.served) == (12, 0)
        assert not (tmp_path / "j").exists()
        assert bill.replies == pytest.approx(12 * 20 * 2 / 1e6)
        assert bill.prompts is not None
        assert bill.prompts > 12 * 300 / 1e6
        judge(tmp_path / "j", PAIRS[:5], setup(server, **PRICES))
        assert expected_bill(PAIRS, setup(server, **PRICES), tmp_path / "j").calls == 7
        unknown = expected_bill(PAIRS, setup(server), tmp_path / "k")
        assert unknown == (12, None, None)
        assert "cost not known" in bill_words(unknown, setup(server))
        with pytest.raises(InputError, match="--max-cost needs the price of m"):
            judge(tmp_path / "k", PAIRS, setup(server), max_cost=1.0)
    local = JudgeSetup("nowhere", "transformers")
    assert bill_words(expected_bill(PAIRS, local, tmp_path), local) == "12 calls to nowhere on this machine"


def test_what_cannot_be_read_is_a_failure_and_asked_again(tmp_path: Path):
    broken = {("q1", "d2"), ("q2", "d0")}

    def script(call: Call) -> Any:
        query, passage = (call.prompt.split(f"{name}: ")[1].split("\n")[0] for name in ("Query", "Passage"))
        is_broken = (f"q{query[-1]}", f"d{passage[-1]}") in broken
        return chat(None, "Quite relevant, I think.") if is_broken else graded(call)

    with LoopbackServer(script) as server:
        judging, place = judge(tmp_path / "j", PAIRS, setup(server, **PRICES))
        assert {(pair.query, pair.document) for pair in judging.failures} == broken
        assert "d2" not in read_judgements(place / "qrels.trec")["q1"]
        assert json.loads((place / "judge.json").read_text())["failures"] == 2
        assert "2 pairs have no grade" in judging.warnings[0]
        broken.clear()
        judging, place = judge(tmp_path / "j", PAIRS, setup(server, **PRICES))
        assert server.served == 14
    assert not judging.failures
    assert read_judgements(place / "qrels.trec")["q1"]["d2"] == 3


def test_a_kill_loses_no_reply(tmp_path: Path):
    def killed(stage: str, finished: int, total: int) -> None:
        if finished == 4:
            raise KeyboardInterrupt

    with LoopbackServer(graded) as server:
        with pytest.raises(KeyboardInterrupt):
            judge(tmp_path / "j", PAIRS, setup(server, concurrency=1), progress=killed)
        assert not (tmp_path / "j" / "qrels.trec").exists()
        judging, _ = judge(tmp_path / "j", PAIRS, setup(server, concurrency=1))
        assert server.served <= 12 + 1  # the one that was under way
    assert not judging.failures


def test_a_budget_ends_it_and_more_money_goes_on(tmp_path: Path):
    with LoopbackServer(graded) as server:
        one = expected_bill(PAIRS[:1], setup(server, **PRICES), tmp_path / "j").cost
        assert one is not None
        judging, _ = judge(tmp_path / "j", PAIRS, setup(server, **PRICES), max_cost=one * 1.5)
        assert 0 < server.served < 12
        assert judging.asked["cost"] <= one * 1.5
        assert "are spent" in judging.asked["stopped"]
        assert all("are spent" in (pair.failure or "") for pair in judging.failures)
        judging, _ = judge(tmp_path / "j", PAIRS, setup(server, **PRICES), max_cost=1.0)
        assert server.served == 12
    assert judging.asked["stopped"] is None
    assert not judging.failures


def test_nothing_is_written_where_nothing_was_judged(tmp_path: Path):
    with LoopbackServer(lambda call: Answer({"error": "sick"}, 500)) as server:
        with pytest.raises(BackendError, match="none of the 12 pairs could be judged"):
            judge(tmp_path / "j", PAIRS, setup(server))
    assert not (tmp_path / "j" / "report.json").exists()


def test_another_judge_is_refused_and_fresh_begins_anew(tmp_path: Path):
    with LoopbackServer(graded) as server:
        judge(tmp_path / "j", PAIRS, setup(server))
        other = JudgeSetup("m", options=setup(server).options, max_tokens=21)
        with pytest.raises(InputError, match="max_tokens is 20 there, 21 here"):
            judge(tmp_path / "j", PAIRS, other)
        _, place = judge(tmp_path / "j", PAIRS, other, fresh=True)
        assert server.served == 24
    assert place == tmp_path / "j"


def test_ids_with_white_space_go_into_a_table_that_is_marked_beside_it(tmp_path: Path):
    pairs = [(query, Document(document.text, f"a {document.id}")) for query, document in PAIRS]
    with LoopbackServer(graded) as server:
        judging, place = judge(tmp_path / "j", pairs, setup(server))
    assert read_judgements(place / "qrels.tsv") == judging.qrels
    assert not (place / "qrels.trec").exists()
    assert about_judgements(place / "qrels.tsv")
