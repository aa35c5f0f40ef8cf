"""report.html of an evaluation by questions: the tables and every question; nothing runs."""

from __future__ import annotations

from limrank_evals.questions.conditions import CONDITIONS
from limrank_evals.questions.question_evaluation import QuestionsEvaluation
from limrank_evals.questions.question_tables import (
    accuracy_table,
    difference_table,
    domain_table,
    published_table,
    title,
)
from limrank_evals.questions.questions_report import question_rows
from limrank_evals.reporting.frame import render_page


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
