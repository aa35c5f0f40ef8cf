"""The tables of an evaluation by questions, cell by cell, and the Markdown made of them."""

from __future__ import annotations

from collections.abc import Sequence

from limrank_evals.identity import Result
from limrank_evals.published import published
from limrank_evals.questions.accuracy import Difference, Score, Share
from limrank_evals.questions.conditions import CONDITIONS
from limrank_evals.questions.evaluated import QuestionsEvaluated
from limrank_evals.stats import Interval
from limrank_evals.tables import Table, build_table

PAIR_HEADS = ("from", "to", "difference", "95 % interval", "won", "lost", "p (McNemar)")
"""Of the table of differences."""


def markdown(found: QuestionsEvaluated) -> str:
    """The tables in GitHub's Markdown, with the published numbers of the same benchmark below."""
    parts = [f"# {title(found)}", _table(*table_rows(found))]
    if found.differences:
        parts.append(_table(PAIR_HEADS, pair_rows(found)))
    domains = domain_rows(found)
    if domains:
        parts.append(_table(*domains))
    theirs = beside(found)
    if theirs:
        parts.append(theirs.markdown().rstrip())
    parts += [f"- {warning}" for warning in found.warnings]
    return "\n\n".join(parts) + "\n"


def latex(found: QuestionsEvaluated) -> str:
    """The results for LaTeX with booktabs, the published numbers of the same benchmark beside them.

    A number in another setting than the first condition's, and every published one, has a footnote.
    """
    return build_table([*found.results, *published(found.setup.benchmark)]).latex()


def table_rows(found: QuestionsEvaluated) -> tuple[Sequence[str], list[list[str]]]:
    """Heads and rows of the main table."""
    several = any(score.samples > 1 for score in found.scores)
    judged = any(score.judge is not None for score in found.scores)
    heads = ["condition", "accuracy", "95 % interval", *(["majority", "95 % interval"] if several else [])]
    heads += ["questions", "unanswered", "failed", *(["judge", "agreement"] if judged else [])]
    return heads, [_row(*pair, several, judged) for pair in zip(found.scores, found.results, strict=True)]


def pair_rows(found: QuestionsEvaluated) -> list[list[str]]:
    """Rows of the table of differences, under `PAIR_HEADS`."""
    return [_pair(difference) for difference in found.differences]


def domain_rows(found: QuestionsEvaluated) -> tuple[Sequence[str], list[list[str]]] | None:
    """Heads and rows of the table of domains; None where the set has none."""
    scores = found.scores
    names = list(dict.fromkeys(name for score in scores for name in score.domains))
    if not names:
        return None
    heads = ["domain", "questions", *(CONDITIONS[score.condition] for score in scores)]
    empty, rows = Share(0, 0, None), []
    for name in names:
        shares = [score.domains.get(name, empty) for score in scores]
        told = [f"{_percent(share.accuracy)} ({_ends(share.interval)})" for share in shares]
        rows.append([name, str(shares[0].total), *told])
    return heads, rows


def beside(found: QuestionsEvaluated) -> Table | None:
    """What others published of the benchmark, beside the fullest condition; None where nobody did."""
    theirs = published(found.setup.benchmark)
    return build_table([found.results[-1], *theirs], ["accuracy"]) if theirs else None


def title(found: QuestionsEvaluated) -> str:
    """What it is of, in one line."""
    return f"{' '.join(filter(None, (found.setup.benchmark, found.setup.split)))}: multiple choice"


def _row(score: Score, result: Result, several: bool, judged: bool) -> list[str]:
    row = [result.system, _percent(score.mean), _ends(score.mean_interval)]
    if several:
        row += [_percent(score.majority.accuracy), _ends(score.majority.interval)]
    row += [str(len(score.tallies)), str(score.unanswered), str(score.failed)]
    if judged:
        judge = score.judge
        row += ["–", "–"] if judge is None else [_percent(judge.accuracy), _percent(judge.agreement)]
    return row


def _pair(difference: Difference) -> list[str]:
    interval = difference.means.interval
    return [
        CONDITIONS[difference.first],
        CONDITIONS[difference.second],
        f"{100 * difference.means.difference:+.1f}",
        "–" if interval is None else f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}",
        str(len(difference.won)),
        str(len(difference.lost)),
        "–" if difference.p is None else f"{difference.p:.4f}",
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(heads) - 1)]
    lines = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in (heads, marks, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _ends(interval: Interval | None) -> str:
    return "–" if interval is None else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
