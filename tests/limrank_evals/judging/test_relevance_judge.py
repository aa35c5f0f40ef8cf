"""The judge: what it is asked, how its grades are read, and what is a failure rather than a grade."""

from __future__ import annotations

from pathlib import Path

import pytest

from limrank_evals.judging.relevance_judge import RelevanceJudge, judge_template, read_grade
from limrank_plugins import ScriptedBackend
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.store import Store

QUERY, DOCUMENT = Query("why does milk curdle?", "q"), Document("Acid curdles it.", "d", title="Milk")


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("##final score: 2", 2),
        ("##final score:3", 3),
        ("M: 2\nT: 1\n##Final Score (O): 0", 0),
        ("<think>final score: 3? No.</think>\n##final score: 1", 1),
        ("**final score**: 2.", 2),
        ("##final score: 2\n##final score: 2", 2),
        ("2", 2),
        ("**Score: 1**", 1),
        ("3\n\nThe passage is dedicated to the query.", 3),
        ("It is related.\n\n1", 1),
        ("##final score: 4", None),
        ("##final score: -1", None),
        ("##final score: 2.5", None),
        ("##final score: 2/3", None),
        ("##final score: 1 or 2", None),
        ("##final score: 1-2", None),
        ("##final score: 22", None),
        ("##final score: 1\n##final score: 2", None),
        ("1\nperhaps\n2", None),
        ("##final score: score", None),
        ("The passage has 2 answers.", None),
        ("<think>##final score: 2", None),
        ("", None),
    ],
)
def test_reading(text: str, grade: int | None):
    assert read_grade(text) == grade


def test_the_prompt_is_the_published_one():
    text = judge_template().render("why", ["because"]).text
    assert text.startswith(
        "Given a query and a passage, you must provide a score on an integer scale of 0 to 3"
    )
    assert "\n\nQuery: why\nPassage: because\n\nSplit this problem into steps:\n" in text
    assert text.endswith("in the format of: ##final score: score without providing any reasoning.")
    assert "2406.06519" in judge_template().source


def test_it_is_asked_with_title_and_instruction():
    backend = ScriptedBackend(generate=lambda prompt: "##final score: 2")
    judge = RelevanceJudge(backend=backend)
    query = Query("why does milk curdle?", "q", "Answers only.")
    assert judge.run(judge.grade(query, DOCUMENT)) == (2, "##final score: 2", None)
    (request,) = backend.requests
    assert (
        "Query: why does milk curdle? Answers only.\nPassage: Milk Acid curdles it.\n" in request.prompt.text
    )
    assert (request.temperature, request.max_tokens) == (0, 1024)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It is quite relevant.", "wrote no grade from 0 to 3: 'It is quite relevant.'"),
        ("I'm sorry, but I cannot help with that.", "refused"),
        ("", "no answer"),
    ],
)
def test_what_is_no_grade_is_a_failure_and_asked_again(tmp_path: Path, text: str, reason: str):
    written = iter([text, "##final score: 1"])
    backend = ScriptedBackend(generate=lambda prompt: next(written))
    with Store(tmp_path / "store.sqlite") as store:
        judge = RelevanceJudge(backend=backend, store=store)
        failed, graded, again = (judge.run(judge.grade(QUERY, DOCUMENT)) for _ in range(3))
    assert failed.grade is None
    assert reason in (failed.failure or "")
    assert graded.grade == again.grade == 1
    assert len(backend.requests) == 2


def test_a_template_of_ones_own(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text('chat = true\nprompt = "{{ query }} | {{ document }}"\nprefill = "##final score:"\n')
    judge = RelevanceJudge(backend=ScriptedBackend(generate=lambda prompt: " 3"), template=str(file))
    assert judge.run(judge.grade(QUERY, DOCUMENT)).grade == 3
    with pytest.raises(InputError, match="no prompt template 'bing'"):
        judge_template("bing")
