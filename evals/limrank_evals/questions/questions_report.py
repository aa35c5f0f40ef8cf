"""The files of an evaluation by questions: JSON, tables, and a page with every question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limrank_evals.comparison import ends
from limrank_evals.questions.accuracy import Difference, Score, Share, Tally
from limrank_evals.questions.answering import AnswerRecord
from limrank_evals.questions.conditions import CONDITIONS
from limrank_evals.questions.question_evaluation import QuestionsEvaluation
from limrank_evals.questions.question_tables import (
    accuracy_table,
    difference_table,
    domain_table,
    latex,
    markdown,
    published_table,
    title,
)
from limrank_evals.reporting.frame import render_page
from limrank_plugins.outputs import write_json, write_json_lines, write_whole
from limrank_plugins.segments import clean_text

OUTPUTS = ("answers.jsonl", "result.json", "report.json", "report.html", "table.md", "table.tex")
SCHEMA = "limrank eval questions 1"
_OUTCOMES = ("lost", "wrong", "changed", "won", "right")


def write_reports(folder: Path, evaluation: QuestionsEvaluation) -> None:
    """Write answers, results, report (JSON, HTML) and tables (Markdown, LaTeX), each all or nothing."""
    write_json_lines(folder / "answers.jsonl", (asdict(answer) for answer in evaluation.answers))
    write_json(folder / "result.json", [result.as_json() for result in evaluation.results])
    write_json(folder / "report.json", report(evaluation))
    for name, make in (("table.md", markdown), ("table.tex", latex), ("report.html", questions_page)):
        write_whole(folder / name, clean_text(make(evaluation)).encode("utf-8"))


def questions_page(evaluation: QuestionsEvaluation) -> str:
    """One HTML page that needs nothing else and runs nothing; whatever a text holds, it is shown as text."""
    published, setup = published_table(evaluation), evaluation.setup
    shown_gated = not evaluation.gate.closed and any(question.gated for question in evaluation.questions)
    return render_page(
        "questions.html.jinja",
        title=title(evaluation),
        reader=f"{setup.reader}; {setup.prompts}",
        gated_shown=shown_gated,
        accuracy=accuracy_table(evaluation),
        published=published and published.grid,
        pairs=difference_table(evaluation),
        changes=[
            (f"{CONDITIONS[d.first]} → {CONDITIONS[d.second]}", d.won, d.lost) for d in evaluation.differences
        ],
        judges=[(CONDITIONS[score.condition], score.judge) for score in evaluation.scores if score.judge],
        domains=domain_table(evaluation),
        letters=[(CONDITIONS[score.condition], score.letters) for score in evaluation.scores],
        questions=question_rows(evaluation),
        conditions=CONDITIONS,
        warnings=[[("", warning)] for warning in evaluation.warnings],
        settings={name: "–" if value is None else value for name, value in evaluation.settings.items()},
    )


def report(evaluation: QuestionsEvaluation, *, questions: bool = True) -> dict[str, Any]:
    """Everything as JSON; see docs/questions.md for the schema.

    Args:
        evaluation: what came out.
        questions: with the questions one by one.
    """
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": evaluation.setup.benchmark,
        "split": evaluation.setup.split,
        "conditions": {score.condition: _score(score) for score in evaluation.scores},
        "differences": [_difference(difference) for difference in evaluation.differences],
        "warnings": list(evaluation.warnings),
        "settings": dict(evaluation.settings),
    }
    if questions:
        record["questions"] = question_rows(evaluation)
    return record


def question_rows(evaluation: QuestionsEvaluation) -> list[dict[str, Any]]:
    """Question by question, those first that the fullest condition lost: text or hash, and all answers."""
    tallies: dict[str, dict[str, Tally]] = {}
    for score in evaluation.scores:
        for tally in score.tallies:
            tallies.setdefault(tally.question, {})[score.condition] = tally
    rows = [
        {
            **question.shown(show_gated=not evaluation.gate.closed),
            "domain": question.domain,
            "outcome": _outcome([tally.right for tally in tallies[question.id].values()]),
            "conditions": {name: _tally(tally) for name, tally in tallies[question.id].items()},
        }
        for question in evaluation.questions
    ]
    return sorted(rows, key=lambda row: _OUTCOMES.index(row["outcome"]))


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "vote": tally.vote,
        "right": tally.right,
        "passages": list(tally.samples[0].passages),
        "answers": [_answer(answer) for answer in tally.samples],
    }


def _answer(answer: AnswerRecord) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in ("said", "choice", "right", "verdict", "failure", "text")}


def _outcome(rights: Sequence[bool]) -> str:
    if len(set(rights)) == 1:
        return "right" if rights[0] else "wrong"
    return "changed" if rights[0] == rights[-1] else "won" if rights[-1] else "lost"


def _score(score: Score) -> dict[str, Any]:
    judge = score.judge
    return {
        "accuracy": score.mean,
        "interval": ends(score.mean_interval),
        "majority": _share(score.majority),
        "samples": score.samples,
        "questions": len(score.tallies),
        "unanswered": score.unanswered,
        "failed": score.failed,
        "cut_short": score.cut_short,
        "letters": score.letters,
        "domains": {name: _share(share) for name, share in score.domains.items()},
        "judge": judge and {**asdict(judge), "accuracy": judge.accuracy, "agreement": judge.agreement},
    }


def _difference(difference: Difference) -> dict[str, Any]:
    means = difference.means.tests_json()
    return {
        "first": difference.first,
        "second": difference.second,
        **means,
        "p": {"mcnemar": difference.p, **means["p"]},
        "won": list(difference.won),
        "lost": list(difference.lost),
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "accuracy": share.accuracy,
        "right": share.right,
        "total": share.total,
        "interval": ends(share.interval),
    }
