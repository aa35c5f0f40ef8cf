"""`limrank eval questions` and `gpqa`: conditions, resuming after a kill, gated texts, bad input."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from limrank_command import limrank
from quizzes import CORPUS, QUESTIONS, option
from servers import INTERRUPTIBLE, Answer, Call, LoopbackServer, chat
from typer.testing import CliRunner

from limrank_plugins.cli import build_app

pytest.importorskip("openai", reason="needs the openai SDK: pip install 'limrank[openai]'")

CANARY = "CANARY-51d0"
ANSWERS = (
    "answers.jsonl",
    "result.json",
    "report.json",
    "report.html",
    "table.md",
    "table.tex",
    "settings.json",
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.jsonl"
    rows = [{"_id": d.id, "title": "", "text": d.text} for d in CORPUS]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def quiz(tmp_path: Path) -> Path:
    file = tmp_path / "quiz.jsonl"
    rows = [
        {"_id": q.id, "question": q.question, "choices": q.choices, "answer": q.answer, "subject": q.domain}
        for q in QUESTIONS
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A GPQA of three questions, each text of which holds the canary."""
    file = tmp_path / "gpqa_diamond.csv"
    names = ["Record ID", "Question", "Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3))]
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*names, "High-level domain"])
        for q in QUESTIONS:
            texts = [f"{CANARY} {text}" for text in (q.question, *q.choices)]
            writer.writerow([f"rec{q.id}", *texts, "Food"])
    return file


def command(cwd: Path, *arguments: object, **environment: str) -> tuple[list[str], dict[str, Any]]:
    program = Path(sys.executable).with_name("limrank")
    env = {**os.environ, "LIMRANK_CACHE": str(cwd / "cache"), "COLUMNS": "200", **environment}
    return [str(program), "eval", *map(str, arguments)], {"cwd": cwd, "env": env}


def process(
    cwd: Path, *arguments: object, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    line, options = command(cwd, *arguments, **environment)
    done = subprocess.run(line, capture_output=True, text=True, **options)
    assert done.returncode == code, done.stderr + done.stdout
    return done


def run(cwd: Path, *arguments: object, code: int = 0) -> Result:
    """The same in this process, which is faster; the folder it runs in is `cwd` all the same."""
    with chdir(cwd):
        done = CliRunner().invoke(build_app(), ["eval", *map(str, arguments)], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def served(server: LoopbackServer, who: str = "reader", model: str = "m") -> list[object]:
    name = "--reader" if who == "reader" else f"--{who}-model"
    made: list[object] = [name, model, f"--{who}-backend", "openai"]
    for pair in (f"base_url={server.url}", "api=chat", "max_retries=0"):
        made += [f"--{who}-option", pair]
    return made


def knowing(call: Call) -> Any:
    """Right where the passage that shares the question's own word is shown; knows one question by heart."""
    text = call.prompt
    if call.body["model"] == "judge":
        return chat(None, "yes" if call.number % 2 else "Hard to say.")
    question = next(q for q in QUESTIONS if q.question in text)
    gold = {"q1": CORPUS[1], "q2": CORPUS[0], "q3": CORPUS[2]}[question.id]
    right = question.choices["ABCD".index(question.answer)]
    if gold.text in text or question.id == "q3":
        return chat(None, f"I would say ({option(text, right)}).")
    return chat(None, "I cannot tell.")


def calls(server: LoopbackServer) -> int:
    return sum("messages" in call.body for call in server.calls)


def test_three_conditions_files_and_going_on(tmp_path: Path, corpus: Path, quiz: Path):
    with LoopbackServer(knowing) as server:
        arguments = [
            "questions",
            quiz,
            "--corpus",
            corpus,
            "--recipe",
            "prior",
            "--top-n",
            1,
            *served(server),
        ]
        done = run(tmp_path, *arguments)
        first = calls(server)
        again = json.loads(run(tmp_path, *arguments, "--json").stdout)
        assert calls(server) == first, "nothing is asked twice"
        other = run(tmp_path, *arguments[:-1], "max_retries=1", "--top-n", 2, code=2)
        assert calls(server) == first
        fresh = json.loads(run(tmp_path, *arguments, "--top-n", 2, "--fresh", "--limit", 2, "--json").stdout)
    assert "retrieve + rerank (prior)  100.0" in done.stdout
    assert again["output"] == "eval-questions"
    assert {name: one["accuracy"] for name, one in again["conditions"].items()} == {
        "closed-book": 1 / 3,
        "retrieve": 1.0,
        "rerank": 1.0,
    }
    assert again["conditions"]["closed-book"]["unanswered"] == 2
    assert again["differences"][0]["won"] == ["q1", "q2"]
    assert again["conditions"]["closed-book"]["domains"]["sky"]["accuracy"] == 1.0
    assert "2 of 3 answers chose no option" in done.stderr
    assert "top_n is 1 there, 2 here" in other.stderr
    assert "Traceback" not in other.stderr
    assert fresh["conditions"]["rerank"]["questions"] == 2
    assert fresh["settings"]["top_n"] == 2
    assert sorted(f.name for f in (tmp_path / "eval-questions").iterdir()) == sorted(
        [*ANSWERS, "store.sqlite"]
    )


def test_a_judge_several_samples_and_one_condition(tmp_path: Path, quiz: Path):
    with LoopbackServer(knowing) as server:
        arguments = ["questions", quiz, *served(server), *served(server, "judge", "judge"), "-o", "out"]
        found = json.loads(
            run(tmp_path, *arguments, "--reader-samples", 3, "--seed", 5, "--batch", 4, "--json").stdout
        )
        drawn = [c.body for c in server.calls if c.body.get("model") == "m" and "messages" in c.body]
    assert list(found["conditions"]) == ["closed-book"], "without a corpus there is no other"
    one = found["conditions"]["closed-book"]
    assert (one["samples"], one["questions"], one["unanswered"]) == (3, 3, 6)
    assert one["judge"]["yes"] + one["judge"]["unreadable"] == 9
    assert one["judge"]["unreadable"] > 0
    assert one["accuracy"] == one["majority"]["accuracy"] == 1 / 3
    assert {body["temperature"] for body in drawn} == {0.7}
    assert len({body["seed"] for body in drawn}) == 3, "every sample is a draw of its own"


def kill(tmp_path: Path, corpus: Path, quiz: Path, kills: int) -> None:
    held, stop = False, 0

    def waiting(call: Call) -> Any:
        async def never() -> Any:
            await server.gate.wait()

        return never() if held and call.number >= stop else knowing(call)

    with LoopbackServer(waiting) as server:
        arguments = ["questions", quiz, "--corpus", corpus, "--recipe", "prior", "--top-n", 1, "--batch", 1]
        arguments += [*served(server), *served(server, "judge", "other"), "-o"]
        # Everything once through without a kill, to compare with.
        run(tmp_path, *arguments, "whole")
        total = server.served
        for number in range(kills):
            after = 1 + number * (total - 2) // max(1, kills - 1) if kills > 1 else total // 2
            held, stop = True, server.served + after
            line, options = command(tmp_path, *arguments, f"killed{number}")
            started = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **options)
            server.wait_for(lambda s, stop=stop: s.served > stop)
            started.send_signal(signal.SIGKILL)
            started.communicate()
            held = False
            before = server.served
            run(tmp_path, *arguments, f"killed{number}")
            assert server.served - before <= total - after + 1, "what was committed is not asked again"
            for name in ANSWERS:
                ours = (tmp_path / f"killed{number}" / name).read_bytes()
                assert ours == (tmp_path / "whole" / name).read_bytes(), name


def test_killed_it_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, corpus: Path, quiz: Path):
    kill(tmp_path, corpus, quiz, 1)


@pytest.mark.soak
def test_killed_at_every_call(tmp_path: Path, corpus: Path, quiz: Path):
    kill(tmp_path, corpus, quiz, 11)


def test_interrupted_it_says_so_and_goes_on(tmp_path: Path, quiz: Path):
    held = True

    def waiting(call: Call) -> Any:
        async def never() -> Any:
            await server.gate.wait()

        return never() if held and call.number >= 2 else knowing(call)

    with LoopbackServer(waiting) as server:
        arguments = ["questions", quiz, *served(server), "--batch", 1]
        line, options = command(tmp_path, *arguments)
        line = [sys.executable, "-c", INTERRUPTIBLE, *line[1:]]
        started = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, **options)
        server.wait_for(lambda s: s.served > 2)
        started.send_signal(signal.SIGINT)
        _, told = started.communicate(timeout=60)
        held = False
        before = calls(server)
        run(tmp_path, *arguments)
        assert calls(server) - before == 1, "two were answered before"
    assert started.returncode == 130
    assert "limrank: interrupted; what was finished is kept" in told
    assert "Traceback" not in told


# ---- failures ------------------------------------------------------------------------------------


def failing(ill: Callable[[Call], bool]) -> Callable[[Call], Any]:
    """A reader that answers, but for calls that its server refuses."""
    return lambda call: Answer({"error": {"message": "no"}}, status=400) if ill(call) else knowing(call)


def test_where_no_answer_came_nothing_is_reported_and_the_same_command_asks_again(tmp_path: Path, quiz: Path):
    ill = True
    with LoopbackServer(failing(lambda _: ill)) as server:
        arguments = ["questions", quiz, *served(server)]
        done = limrank(tmp_path, "eval", *arguments, code=1)
        assert sorted(file.name for file in (tmp_path / "eval-questions").iterdir()) == [
            "settings.json",
            "store.sqlite",
        ]
        ill, before = False, calls(server)
        run(tmp_path, *arguments)
        assert calls(server) - before == 3
    assert "none of the 3 answers came (closed book), so there is nothing to report" in done.stderr
    assert "The same command asks again" in done.stderr
    assert "accuracy" not in done.stdout


def test_one_failed_answer_is_counted_and_asked_again_alone(tmp_path: Path, quiz: Path):
    ill = True
    with LoopbackServer(failing(lambda call: ill and QUESTIONS[0].question in call.prompt)) as server:
        arguments = ["questions", quiz, *served(server), "--json"]
        done = run(tmp_path, *arguments, code=1)
        ill, before = False, calls(server)
        run(tmp_path, *arguments)
        assert calls(server) - before == 1
    assert json.loads(done.stdout)["conditions"]["closed-book"]["failed"] == 1
    assert "the same command asks again for what failed" in done.stderr


@pytest.mark.parametrize("which", ["all", "one"])
@pytest.mark.parametrize("elsewhere", [(), ("--store", "mine.sqlite")], ids=["inside", "elsewhere"])
def test_a_fresh_one_that_fails_leaves_the_finished_one(
    tmp_path: Path, quiz: Path, which: str, elsewhere: tuple[str, ...]
):
    ill = False
    folder = tmp_path / "eval-questions"

    def written(beside: str = ".limrank-fresh") -> dict[Path, bytes]:
        files = [file for file in folder.rglob("*") if file.is_file() and beside not in file.parts]
        return {file: file.read_bytes() for file in files}

    with LoopbackServer(
        failing(lambda call: ill and (which == "all" or QUESTIONS[0].question in call.prompt))
    ) as server:
        arguments = ["questions", quiz, *served(server), *elsewhere]
        run(tmp_path, *arguments)
        (folder / "notes.txt").write_text("mine")
        before = written()
        ill = True
        done = run(tmp_path, *arguments, "--fresh", code=1)
        assert written() == before
        assert f"the result of before stays in {folder.name}" in done.stderr
        ill, asked = False, calls(server)
        done = run(tmp_path, *arguments)
        assert calls(server) - asked == {"all": 3, "one": 1}[which]
        after = written("nothing")
        assert after.keys() == before.keys()
        assert all(after[file] == before[file] for file in after if "sqlite" not in file.name)


@pytest.mark.parametrize("part", ["reranker", "rewriter"])
def test_what_no_model_reranked_or_rewrote_is_not_reported(
    tmp_path: Path, corpus: Path, quiz: Path, part: str
):
    with (
        LoopbackServer(knowing) as server,
        LoopbackServer(lambda _: Answer({"error": {"message": "no"}}, status=400)) as down,
    ):
        arguments = ["questions", quiz, "--corpus", corpus, "--top-n", 1]
        if part == "reranker":
            arguments += ["--recipe", "rankgpt", "--model", "m", "--backend", "openai", *served(server)]
            arguments += ["--option", f"base_url={down.url}", "--option", "max_retries=0"]
        else:
            arguments += ["--recipe", "prior", "--rewrite", "hyde", *served(down)]
        done = run(tmp_path, *arguments, code=1)
        assert calls(server) == 0, "the reader is not asked for what would not be reported"
    # q3 has one candidate, about which a listwise recipe asks nothing.
    what = "2 questions' passages could be judged" if part == "reranker" else "3 queries could be rewritten"
    assert f"none of the {what}" in done.stderr
    assert not (tmp_path / "eval-questions" / "report.json").exists()


# ---- gated ----------------------------------------------------------------------------------------


def echo(call: Call) -> Any:
    """Every model repeats what it was asked: answers, verdicts and rewritten queries quote the question."""
    if call.body["model"] == "judge":
        return chat(None, "yes")
    return chat(None, f"{call.prompt}\nThe answer is (B).")


def everything(folder: Path, *done: subprocess.CompletedProcess[str] | Result) -> bytes:
    """All bytes that processes wrote or said, but for the files that were given."""
    given = {"corpus.jsonl", "gpqa_diamond.csv"}
    assert (next(folder.rglob("store.sqlite"))).is_file()
    said = "".join(one.stdout + one.stderr for one in done)
    return kept(folder, given) + said.encode()


def kept(folder: Path, but: Collection[str] = ()) -> bytes:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in but]
    return b"".join(file.read_bytes() for file in files)


def gated(server: LoopbackServer, secret: Path, corpus: Path) -> list[object]:
    return [
        *("gpqa", secret, "--any-count", "--corpus", corpus, "--recipe", "prior", "--top-n", 2),
        *("--with-options", "--rewrite", "reasoning", "--reader-samples", 2),
        *served(server),
        *served(server, "judge", "judge"),
    ]


def test_gated_texts_are_nowhere(tmp_path: Path, corpus: Path, secret: Path):
    with LoopbackServer(echo) as server:
        arguments = gated(server, secret, corpus)
        # The client's own log, at its loudest: it looks for the variable when it is imported.
        done = process(tmp_path, *arguments, OPENAI_LOG="debug")
        asked = calls(server)
        again = limrank(tmp_path, "eval", *arguments, "--json", "--store", tmp_path / "named.sqlite")
        assert calls(server) == asked, "the journal holds what is needed to go on"
        written = everything(tmp_path, done, again)
        shown = run(tmp_path, *arguments, "--show-gated", "-o", "shown", "--store", "other.sqlite")
    assert CANARY.encode() not in written
    assert "gated: no text of a question or an answer is shown or kept" in done.stderr
    assert "the set is gated" in done.stderr
    told = json.loads(again.stdout)
    assert told["conditions"]["rerank"]["domains"]["Food"]["total"] == 3
    assert told["settings"]["texts"] == "left out"
    assert told["conditions"]["rerank"]["judge"]["yes"] == 6
    rows = [json.loads(line) for line in (tmp_path / "eval-gpqa" / "answers.jsonl").read_text().splitlines()]
    assert {row["text"] for row in rows} == {None}
    assert {row["said"] for row in rows} == {"B"}
    assert {row["question"] for row in rows} == {"recq1", "recq2", "recq3"}
    for name in ("shown/answers.jsonl", "shown/report.html", "shown/report.json", "other.sqlite"):
        assert CANARY.encode() in (tmp_path / name).read_bytes(), "the check can fail"
    assert "Gated texts inside" in (tmp_path / "shown" / "report.html").read_text()
    assert "gated:" not in shown.stderr


@pytest.mark.parametrize("status", [400, 401])
def test_gated_texts_are_in_no_failure(tmp_path: Path, corpus: Path, secret: Path, status: int):
    """A server that quotes the question in its error: once for each request, once for all of them."""
    with LoopbackServer(lambda call: Answer({"error": {"message": call.prompt}}, status=status)) as server:
        done = run(tmp_path, *gated(server, secret, corpus), "--condition", "closed-book", code=2)
        assert "--rewrite is for a search" in done.stderr
        done = run(tmp_path, *gated(server, secret, corpus), code=1)
        answers = [*served(server), "gpqa", secret]
        loud = run(
            tmp_path,
            answers[-2],
            secret,
            "--any-count",
            "--show-gated",
            *answers[:-2],
            "-o",
            "loud",
            code=1,
        )
    assert CANARY.encode() not in everything(tmp_path / "eval-gpqa", done)
    assert CANARY.encode() not in b"".join(
        f.read_bytes() for f in (tmp_path / "cache").rglob("*") if f.is_file()
    )
    assert "Traceback" not in done.stderr
    assert f"HTTP {status}" in done.stderr
    assert CANARY in loud.stderr, "the check can fail"


def test_gated_texts_are_in_no_failure_of_one_answer(tmp_path: Path, corpus: Path, secret: Path):
    def partly(call: Call) -> Any:
        refused = QUESTIONS[0].question in call.prompt
        return Answer({"error": {"message": call.prompt}}, status=400) if refused else echo(call)

    with LoopbackServer(partly) as server:
        done = run(tmp_path, *gated(server, secret, corpus), code=1)
        run(tmp_path, *gated(server, secret, corpus), "--show-gated", "-o", "loud", code=1)
    assert CANARY.encode() not in everything(tmp_path / "eval-gpqa", done)
    assert "HTTP 400" in (tmp_path / "eval-gpqa" / "answers.jsonl").read_text()
    assert CANARY in (tmp_path / "loud" / "answers.jsonl").read_text(), "the check can fail"


def test_a_gated_file_that_cannot_be_read_is_not_quoted(tmp_path: Path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"_id": "q", "question": [CANARY], "choices": [CANARY], "answer": "A"}) + "\n")
    done = run(tmp_path, "questions", bad, "--gated", "--reader", "m", code=2)
    assert CANARY not in done.stderr + done.stdout
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(json.dumps({"_id": CANARY * 9, "question": "x", "choices": ["a"], "answer": "A"}) + "\n")
    assert CANARY not in run(tmp_path, "questions", mixed, "--gated", "--reader", "m", code=2).stderr


# ---- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--condition", "rerank"], "needs passages to search: name them with --corpus"),
        (["--condition", "open"], "there is no condition 'open'"),
        (["--reader-backend", "nonsense"], "nonsense"),
        (["--reader-template", "nonsense"], "choices, limrank, completion"),
        (["--reader-samples", 0], "samples"),
        (["--limit", 0], "--limit must be a whole number >= 1"),
        (["--batch", 0], "--batch must be a whole number >= 1"),
        (["--corpus", "none"], "there is no corpus 'none'"),
        (["--judge-option", "a=b"], "--judge-option needs a judge"),
        (["--rewrite", "hyde"], "--rewrite is for a search"),
        (["--domain", "chapter"], "'chapter' cannot be None"),
        (["-o", "quiz.jsonl"], "is a file"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, quiz: Path, arguments: list[object], named: str):
    usual = [
        "--reader",
        "m",
        "--reader-backend",
        "openai",
        "--reader-option",
        "base_url=http://127.0.0.1:9/v1",
    ]
    done = run(tmp_path, "questions", quiz, *usual, *arguments, code=2)
    assert named in done.output
    assert "Traceback" not in done.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["quiz.jsonl"], "nothing is left behind"


def test_missing_files_say_what_to_do(tmp_path: Path):
    done = run(tmp_path, "gpqa", "gpqa_diamond.csv", "--reader", "m", code=2)
    assert "hf download Idavidrein/gpqa" in done.stderr
