"""The tables of an evaluation by questions."""

from __future__ import annotations

from limrank_evals.published import published
from limrank_evals.questions.accuracy import Difference, Score, Share
from limrank_evals.questions.conditions import CONDITIONS
from limrank_evals.questions.question_evaluation import QuestionsEvaluation
from limrank_evals.tables import Grid, Table, build_table, interval_text, number_text

_DIFFERENCE_HEADS = ("from", "to", "difference", "95 % interval", "won", "lost", "p (McNemar)")


def markdown(evaluation: QuestionsEvaluation) -> str:
    """The tables in GitHub's Markdown, with the published numbers of the same benchmark below."""
    parts = [f"# {title(evaluation)}", accuracy_table(evaluation).markdown()]
    if evaluation.differences:
        parts.append(difference_table(evaluation).markdown())
    for table in (domain_table(evaluation), published_table(evaluation)):
        if table is not None:
            parts.append(table.markdown())
    parts += [f"- {warning}" for warning in evaluation.warnings]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def latex(evaluation: QuestionsEvaluation) -> str:
    """The results for LaTeX with booktabs, the published numbers of the same benchmark beside them.

    A number in another setting than the first condition's, and every published one, has a footnote.
    """
    return build_table([*evaluation.results, *published(evaluation.setup.benchmark)]).latex()


def accuracy_table(evaluation: QuestionsEvaluation) -> Grid:
    """The main table: one row a condition."""
    scores = evaluation.scores
    several = any(score.samples > 1 for score in scores)
    judged = any(score.judge is not None for score in scores)
    heads = ["condition", "accuracy", "95 % interval", *(["majority", "95 % interval"] if several else [])]
    heads += ["questions", "unanswered", "failed", *(["judge", "agreement"] if judged else [])]

    def row(score: Score, system: str) -> list[str]:
        cells = [system, number_text(score.mean), interval_text(score.mean_interval)]
        if several:
            cells += [number_text(score.majority.accuracy), interval_text(score.majority.interval)]
        cells += [str(len(score.tallies)), str(score.unanswered), str(score.failed)]
        if judged:
            shares = (score.judge.accuracy, score.judge.agreement) if score.judge else (None, None)
            cells += [number_text(share) for share in shares]
        return cells

    rows = [row(score, result.system) for score, result in zip(scores, evaluation.results, strict=True)]
    return Grid(heads, rows)


def difference_table(evaluation: QuestionsEvaluation) -> Grid:
    """One row for every two conditions."""

    def row(difference: Difference) -> list[str]:
        return [
            CONDITIONS[difference.first],
            CONDITIONS[difference.second],
            number_text(difference.means.difference, signed=True),
            interval_text(difference.means.interval, signed=True),
            str(len(difference.won)),
            str(len(difference.lost)),
            number_text(difference.p, times=1, decimals=4),
        ]

    return Grid(_DIFFERENCE_HEADS, [row(difference) for difference in evaluation.differences])


def domain_table(evaluation: QuestionsEvaluation) -> Grid | None:
    """One row a domain; None where the set has none."""
    scores, empty = evaluation.scores, Share(0, 0, None)
    rows = []
    for name in dict.fromkeys(name for score in scores for name in score.domains):
        shares = [score.domains.get(name, empty) for score in scores]
        cells = [f"{number_text(share.accuracy)} ({interval_text(share.interval)})" for share in shares]
        rows.append([name, str(shares[0].total), *cells])
    heads = ["domain", "questions", *(CONDITIONS[score.condition] for score in scores)]
    return Grid(heads, rows) if rows else None


def published_table(evaluation: QuestionsEvaluation) -> Table | None:
    """What others published of the benchmark, beside the fullest condition; None where nobody did."""
    others = published(evaluation.setup.benchmark)
    return build_table([evaluation.results[-1], *others], ["accuracy"]) if others else None


def title(evaluation: QuestionsEvaluation) -> str:
    """What it is of, in one line."""
    return f"{' '.join(filter(None, (evaluation.setup.benchmark, evaluation.setup.split)))}: multiple choice"
