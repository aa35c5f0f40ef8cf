"""The files: the same numbers in all of them, texts as texts, nothing of a gated set."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from quiz_reports import SETUP, made
from quizzes import QUESTIONS

from limrank_evals.identity import Result
from limrank_evals.loaders.multiple_choice import MultipleChoice
from limrank_evals.questions import AnswerRecord, Context, Gate, evaluate_answers
from limrank_evals.questions.question_tables import markdown
from limrank_evals.questions.questions_report import question_rows, questions_page, report, write_reports


def test_numbers_are_the_same_everywhere(tmp_path: Path):
    found = made()
    write_reports(tmp_path, found)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "answers.jsonl",
        "report.html",
        "report.json",
        "result.json",
        "table.md",
        "table.tex",
    ]
    told = json.loads((tmp_path / "report.json").read_text())
    # q1's key is B, q2's A, q3's C.
    accuracies = {name: one["accuracy"] for name, one in told["conditions"].items()}
    assert accuracies == {"closed-book": 0.0, "retrieve": 2 / 3, "rerank": 1.0}
    results = [Result.from_json(one) for one in json.loads((tmp_path / "result.json").read_text())]
    assert [one.scores["accuracy"] for one in results] == list(accuracies.values())
    assert [one.system for one in results] == ["closed book", "retrieve", "retrieve + rerank (limrank)"]
    for name in ("table.md", "table.tex", "report.html"):
        text = (tmp_path / name).read_text()
        for number in ("66.", "100.0"):
            assert number in text
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [AnswerRecord.from_json(row) for row in rows] == list(found.answers)
    assert told["conditions"]["closed-book"]["unanswered"] == 1
    assert told["differences"][2]["won"] == ["q3"]


def test_identities_leave_out_what_a_condition_does_not_have():
    closed, retrieved, reranked = (result.identity for result in made().results)
    assert (closed.first_stage, closed.depth, closed.recipe) == ("", None, "")
    assert (retrieved.first_stage, retrieved.depth, retrieved.recipe) == ("bm25s", None, "")
    assert (reranked.first_stage, reranked.depth, reranked.recipe) == ("bm25s", 100, "limrank")
    assert {one.prompts for one in (closed, retrieved, reranked)} == {
        "choices, 1 sample at temperature 0, 10 passages, read by some-reader"
    }


def test_published_numbers_stand_beside_ours_with_their_source():
    text = markdown(made())
    assert "30.3" in text
    assert "LimRank (arXiv 2510.23544); one sample at temperature 0.8" in text
    other = made(setup=replace(SETUP, benchmark="mmlu", split=""))
    assert "LimRank" not in markdown(other).replace("limrank", "")


def test_questions_that_the_fullest_condition_lost_come_first():
    rows = question_rows(made())
    assert [(row["id"], row["outcome"]) for row in rows] == [("q1", "won"), ("q2", "won"), ("q3", "won")]
    answers = [replace(one, right=one.condition != "rerank") for one in made().answers]
    assert {row["outcome"] for row in question_rows(made(answers=answers))} == {"lost"}


class Page(HTMLParser):
    """What a browser would see: tags and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name == "src" for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_texts_as_texts_and_fetches_nothing():
    text = questions_page(made())
    seen = Page(text)
    assert "script" not in seen.tags
    assert "</pre><script>alert(1)</script> & {{ 7 * 7 }}" in seen.text
    assert "\x1b" not in text, "a control character is nobody's text"
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "Content-Security-Policy" in text
    ids = re.findall(r'id="(q-[^"]+)"', text)
    assert set(re.findall(r'href="#(q-[^"]+)"', text)) <= set(ids)
    assert len(ids) == len(set(ids)) == 3


def test_links_lead_to_questions_with_any_id():
    odd = {question.id: f'q "{question.id}" #/é <b>' for question in QUESTIONS}
    base = made()
    questions = tuple(replace(question, id=odd[question.id]) for question in base.questions)
    answers = [replace(one, question=odd[one.question]) for one in base.answers]
    text = questions_page(
        evaluate_answers(questions, answers, setup=SETUP, settings={}, gate=Gate(closed=False))
    )
    assert set(re.findall(r'href="#(q-[^"]+)"', text)) == set(re.findall(r'id="(q-[^"]+)"', text))


def test_a_gated_set_is_hashes_letters_and_numbers(tmp_path: Path):
    write_reports(tmp_path, made(closed=True))
    for file in tmp_path.iterdir():
        text = file.read_text()
        for secret in ("curdle", "alert(1)", "yeast", "It is A"):
            assert secret not in text, (file.name, secret)
    told = json.loads((tmp_path / "report.json").read_text())
    assert set(told["questions"][0]) == {"id", "sha256", "domain", "outcome", "conditions"}
    assert "the set is gated" in told["warnings"][-1]


def warned(**more: Any) -> str:
    return " ".join(made(**more).warnings)


def test_what_a_reader_must_know_is_said():
    answers = made().answers
    assert "closed book: 1 of 3 answers chose no option" in warned()
    failed = [replace(one, sha256=None, failure="no") if one.question == "q1" else one for one in answers]
    assert "retrieve: 1 of 3 answers never came and counts as wrong" in warned(answers=failed)
    short = [replace(one, ended="length", cut_tokens=3) for one in answers]
    assert "rerank: 3 of 3 answers were ended by their budget" in warned(answers=short)
    assert "in 3 of 3 prompts the passages did not fit" in warned(answers=short)
    judged = [replace(one, verdict="unreadable") for one in answers]
    assert "neither yes nor no about 3 answers and failed on 0" in warned(answers=judged)
    found = {
        "q1": Context("q1", ("acid",), ("acid",), 4, unjudged=2, unwritten=True),
        "q2": Context("q2"),
        "q3": Context("q3", ("acid",), ("acid",), 1, unjudged=1, outage=True),
    }
    told = warned(contexts=found)
    for part in (
        "1 of 3 questions was asked without passages",
        "1 of 3 questions could not be rewritten",
        "3 passages could not be judged",
        "for 1 of 3 questions nothing could be reranked",
    ):
        assert part in told


def test_several_samples_and_a_judge_have_columns_of_their_own():
    answers = [
        replace(one, sample=sample, verdict="yes" if one.right else "no")
        for one in made().answers
        for sample in range(2)
    ]
    found = made(answers=answers)
    heads = markdown(found).splitlines()[2]
    assert "| majority |" in heads
    assert "| judge | agreement |" in heads
    assert found.results[0].scores["accuracy by the judge"] == 0
    assert found.results[0].counts["samples"] == 2
    assert report(found, questions=False)["conditions"]["rerank"]["judge"]["agreement"] == 1.0


@pytest.mark.parametrize("name", ["a|b", "a\nb"])
def test_markdown_cells_stay_cells(name: str):
    questions = tuple(replace(question, domain=name) for question in QUESTIONS)
    found = evaluate_answers(questions, made().answers, setup=SETUP, settings={}, gate=Gate(closed=False))
    rows = [line for line in markdown(found).splitlines() if line.startswith("| a")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 6


def test_a_question_is_a_question_without_a_domain():
    questions = tuple(MultipleChoice(q.id, q.question, q.choices, q.answer) for q in QUESTIONS)
    found = evaluate_answers(questions, made().answers, setup=SETUP, settings={}, gate=Gate(closed=False))
    assert "domain" not in markdown(found)
    assert "<h2>Domains" not in questions_page(found)
