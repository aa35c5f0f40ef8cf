"""A model that writes nothing usable: told, exit code 1, unfinished, asked again by the same command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from limrank_command import limrank
from quizzes import CORPUS, QUESTIONS, option
from servers import Call, LoopbackServer, chat
from synth_command import Workplace
from synth_server import ScriptedModel

pytest.importorskip("openai", reason="needs pip install 'limrank[openai]'")


def hidden(call: Call) -> Any:
    reply = chat(None, "", "length")
    reply["choices"][0]["message"]["reasoning_content"] = "Let me see."
    return reply


NOTHING: dict[str, tuple[Callable[[Call], Any], str]] = {
    "empty": (lambda call: chat(None, ""), "the model wrote no answer"),
    "refusal": (lambda call: chat(None, "I'm sorry, but I can't help with that."), "the model refused: "),
    "hidden reasoning": (hidden, "the model spent its budget of "),
}
nothing = pytest.mark.parametrize("kind", NOTHING)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    def write(name: str, *rows: dict[str, Any]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    write("corpus.jsonl", *({"_id": d.id, "text": d.text} for d in CORPUS))
    write("queries.jsonl", {"_id": "q", "text": "bread and the moon"})
    rows = [
        {"_id": q.id, "question": q.question, "choices": q.choices, "answer": q.answer} for q in QUESTIONS
    ]
    write("quiz.jsonl", *rows)
    return tmp_path


def served(server: LoopbackServer, prefix: str, named: str) -> list[object]:
    made: list[object] = [named, "m", f"--{prefix}backend", "openai"]
    for pair in (f"base_url={server.url}", "api=chat", "max_retries=0"):
        made += [f"--{prefix}option", pair]
    return made


def knows(call: Call) -> Any:
    question = next(q for q in QUESTIONS if q.question in call.prompt)
    return chat(None, f"({option(call.prompt, question.choices['ABCD'.index(question.answer)])})")


@nothing
def test_rerank(work: Path, kind: str):
    script, reason = NOTHING[kind]
    with LoopbackServer(script) as server:
        command = ["rerank", "-q", "queries.jsonl", "-c", "corpus.jsonl", "-o", "run.trec"]
        command += ["--recipe", "rankgpt", *served(server, "", "--model")]
        done = limrank(work, *command, code=1)
        assert reason in done.stderr
        assert not (work / "run.trec").exists()
        asked, server._script = server.served, lambda call: chat(None, "[2] > [1]")
        limrank(work, *command, code=0)
        assert server.served > asked


@pytest.mark.parametrize(
    ("written", "reason"),
    [("", "wrote no reasoning"), ("I'm sorry, but I can't help with that.", "refused: ")],
)
def test_what_thinks_first_has_no_verdict_behind_nothing(work: Path, written: str, reason: str):
    """Its labels could be read all the same."""
    says = [written]

    def script(call: Call) -> Any:
        return chat({" yes": -0.2, " no": -1.8}, " yes") if call.body.get("logprobs") else chat(None, says[0])

    with LoopbackServer(script) as server:
        command = ["rerank", "-q", "queries.jsonl", "-c", "corpus.jsonl", "-o", "run.jsonl", "--json"]
        command += ["--recipe", "limrank", "--reasoning", "full", *served(server, "", "--model")]
        assert reason in limrank(work, *command, code=1).stderr
        assert not (work / "run.jsonl").exists()
        says[0] = "It says what bread does."
        assert json.loads(limrank(work, *command, code=0).stdout)["failures"] == 0


@nothing
def test_ask(work: Path, kind: str):
    script, reason = NOTHING[kind]
    with LoopbackServer(script) as server:
        command = ["ask", "corpus.jsonl", "what does bread do", "--recipe", "prior"]
        command += [*served(server, "reader-", "--reader"), "--json"]
        done = limrank(work, *command, code=1)
        assert reason in done.stderr
        assert json.loads(done.stdout)["answer"] is None
        asked, server._script = server.served, lambda call: chat(None, "It rises [1].")
        assert json.loads(limrank(work, *command, code=0).stdout)["answer"] == "It rises [1]."
        assert server.served > asked


@nothing
def test_questions(work: Path, kind: str):
    script, reason = NOTHING[kind]

    def ill(call: Call) -> Any:
        return script(call) if QUESTIONS[0].question in call.prompt else knows(call)

    with LoopbackServer(ill) as server:
        command = ["eval", "questions", "quiz.jsonl", *served(server, "reader-", "--reader"), "--json"]
        done = limrank(work, *command, code=1)
        counts = json.loads(done.stdout)["conditions"]["closed-book"]
        assert (counts["failed"], counts["unanswered"]) == (1, 0)
        assert reason in done.stderr
        assert "the same command asks again for what failed" in done.stderr
        asked, server._script = len(server.calls), knows
        again = json.loads(limrank(work, *command, code=0).stdout)["conditions"]["closed-book"]
        assert (again["failed"], again["accuracy"]) == (0, 1.0)
        prompts = [call.prompt for call in server.calls[asked:] if "messages" in call.body]
        assert len(prompts) == 1
        assert QUESTIONS[0].question in prompts[0]


def test_questions_of_which_all_are_refused_report_nothing(work: Path):
    with LoopbackServer(NOTHING["refusal"][0]) as server:
        command = ["eval", "questions", "quiz.jsonl", *served(server, "reader-", "--reader")]
        done = limrank(work, *command, code=1)
        assert "none of the 3 answers came (closed book)" in done.stderr
        assert not (work / "eval-questions" / "report.json").exists()


def test_who_chooses_nothing_has_answered(work: Path):
    with LoopbackServer(lambda call: chat(None, "I'm sorry, but I don't know.")) as server:
        command = ["eval", "questions", "quiz.jsonl", *served(server, "reader-", "--reader"), "--json"]
        counts = json.loads(limrank(work, *command, code=0).stdout)["conditions"]["closed-book"]
        assert (counts["failed"], counts["unanswered"]) == (0, 3)
        asked = server.served
        limrank(work, *command, code=0)
        assert server.served - asked <= 1, "no question is asked twice"


@nothing
def test_a_synthesis_of_which_nothing_is_accepted(tmp_path: Path, kind: str):
    script, reason = NOTHING[kind]
    model = ScriptedModel()
    with LoopbackServer(script) as server:
        place = Workplace(tmp_path, server, model, seeds=2)
        done = place.run()
        assert done.returncode == 1, done.stderr
        assert "not one row was accepted; 4 items failed, as " in done.stderr
        assert reason.removesuffix(" of ") in done.stderr
        assert "the same command goes on and asks again for what failed" in done.stderr
        report = place.report
        assert (report["rows"], report["rejected"], len(report["failed"])) == (0, 0, 4)
        assert (place.output / "rejected.jsonl").read_text() == ""
        asked, server._script = server.served, model
        done = place.run()
        assert done.returncode == 0, done.stderr
        assert server.served > asked
        assert place.report["rows"] > 0
        assert place.report["failed"] == {}
        asked, rows = server.served, place.rows
        assert place.run().returncode == 0
        assert (server.served, place.rows) == (asked, rows), "a run that is done asks nothing"


def test_a_synthesis_of_which_filters_reject_everything(tmp_path: Path):
    with LoopbackServer(ScriptedModel()) as server:
        place = Workplace(tmp_path, server, server._script, seeds=1)  # type: ignore[arg-type]
        settings = tmp_path / "synth.toml"
        strict = "[filters.trace_rules]\nleast = 1000\nmost = 1001\n"
        settings.write_text(settings.read_text("utf-8") + strict, "utf-8")
        done = place.run()
        assert done.returncode == 1, done.stderr
        assert "not one row was accepted; 8 rejected by trace_rules (" in done.stderr
        assert "asks again" not in done.stderr


def test_one_passage_that_is_refused_takes_none_of_the_others_with_it(tmp_path: Path):
    model = ScriptedModel()

    def refuses(call: Call) -> Any:
        reply = model(call)
        if call.body["model"] == "a-judge" and len(call.body["messages"][-1]["content"]) % 3 == 0:
            return chat(None, "I'm sorry, but I can't help with that.")
        return reply

    with LoopbackServer(refuses) as server:
        place = Workplace(tmp_path, server, model, seeds=2)
        done = place.run()
        report = place.report
        assert 0 < len(report["failed"]) < 16, "the script must refuse some"
        assert done.returncode == 1, done.stderr
        assert all("the model refused" in reason for reason in report["failed"].values())
        assert (report["finished"], report["unfinished"]) == (2, {})
        assert report["rows"] > 0
        asked, server._script = len(server.calls), model
        assert place.run().returncode == 0
        assert {call.body["model"] for call in server.calls[asked:]} == {"a-judge"}
        assert place.report["rows"] > report["rows"]
