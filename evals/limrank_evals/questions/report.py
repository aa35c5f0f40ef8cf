"""The files of an evaluation by questions: JSON for machines, Markdown and one HTML page for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from limrank_evals.published import published
from limrank_evals.questions.accuracy import Difference, Score, Share, Tally
from limrank_evals.questions.conditions import CONDITIONS
from limrank_evals.questions.evaluated import QuestionsEvaluated
from limrank_evals.questions.journal import SCHEMA
from limrank_evals.stats import Interval
from limrank_evals.tables import build_table
from limrank_plugins.io import write_whole
from limrank_plugins.segments import clean_text


def write_reports(folder: Path, found: QuestionsEvaluated) -> None:
    """Write the answers (JSONL), the results and the report (JSON, Markdown, HTML), each all or nothing."""
    rows = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in found.answers)
    results = [result.as_json() for result in found.results]
    for name, text in (
        ("answers.jsonl", rows),
        ("result.json", _json(results)),
        ("report.json", _json(report(found))),
        ("report.md", markdown(found)),
        ("report.html", page(found)),
    ):
        write_whole(folder / name, clean_text(text).encode("utf-8"))


def report(found: QuestionsEvaluated, *, questions: bool = True) -> dict[str, Any]:
    """Everything as JSON; see docs/questions.md for the schema.

    Args:
        found: what came out.
        questions: with the questions one by one.
    """
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": found.setup.benchmark,
        "split": found.setup.split,
        "conditions": {score.condition: _score(score) for score in found.scores},
        "differences": [_difference(difference) for difference in found.differences],
        "warnings": list(found.warnings),
        "settings": dict(found.settings),
    }
    if questions:
        made["questions"] = drilldown(found)
    return made


def drilldown(found: QuestionsEvaluated) -> list[dict[str, Any]]:
    """Question by question, those first that the fullest condition lost: text or hash, and all answers."""
    tallies: dict[str, dict[str, Tally]] = {}
    for score in found.scores:
        for tally in score.tallies:
            tallies.setdefault(tally.question, {})[score.condition] = tally
    rows = [
        {
            **question.shown(show_gated=not found.gate.closed),
            "domain": question.domain,
            "outcome": _outcome([t.right for t in tallies[question.id].values()]),
            "conditions": {
                name: {
                    "vote": tally.vote,
                    "right": tally.right,
                    "passages": list(tally.samples[0].passages),
                    "answers": [
                        {
                            "said": one.said,
                            "choice": one.choice,
                            "right": one.right,
                            "verdict": one.verdict,
                            "failure": one.failure,
                            "text": one.text,
                        }
                        for one in tally.samples
                    ],
                }
                for name, tally in tallies[question.id].items()
            },
        }
        for question in found.questions
    ]
    order = ("lost", "wrong", "changed", "won", "right")
    return sorted(rows, key=lambda row: order.index(row["outcome"]))


def markdown(found: QuestionsEvaluated) -> str:
    """The tables in GitHub's Markdown, with the published numbers of the same benchmark below."""
    parts = [f"# {_title(found)}", _table(_heads(found), _rows(found))]
    if found.differences:
        parts.append(_table(PAIR_HEADS, pair_rows(found)))
    if any(score.domains for score in found.scores):
        parts.append(_table(*_domains(found.scores)))
    theirs = published(found.setup.benchmark)
    if theirs:
        parts.append(build_table([found.results[-1], *theirs], ["accuracy"]).markdown().rstrip())
    parts += [f"- {warning}" for warning in found.warnings]
    return "\n\n".join(parts) + "\n"


def page(found: QuestionsEvaluated) -> str:
    """One HTML page that needs nothing else; whatever a text holds, it is shown as text."""
    return _template().render(
        title=_title(found),
        heads=_heads(found),
        rows=_rows(found),
        pair_heads=PAIR_HEADS,
        pairs=pair_rows(found),
        domains=_domains(found.scores) if any(score.domains for score in found.scores) else None,
        letters=[(CONDITIONS[score.condition], score.letters) for score in found.scores],
        changes=[
            (f"{CONDITIONS[d.first]} → {CONDITIONS[d.second]}", d.won, d.lost) for d in found.differences
        ],
        questions=drilldown(found),
        conditions=CONDITIONS,
        warnings=found.warnings,
        settings=_json(dict(found.settings)),
    )


@cache
def _template() -> Template:
    text = resources.files("limrank_evals.questions").joinpath("templates", "report.html").read_text("utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(text)


# ---- tables ---------------------------------------------------------------------------------------

PAIR_HEADS = ("from", "to", "difference", "95 % interval", "won", "lost", "p (McNemar)")


def table_rows(found: QuestionsEvaluated) -> tuple[Sequence[str], list[list[str]]]:
    """Heads and rows of the main table."""
    return _heads(found), _rows(found)


def pair_rows(found: QuestionsEvaluated) -> list[list[str]]:
    """Rows of the table of differences, under `PAIR_HEADS`."""
    return [_pair(difference) for difference in found.differences]


def _heads(found: QuestionsEvaluated) -> list[str]:
    several = any(score.samples > 1 for score in found.scores)
    judged = any(score.judge is not None for score in found.scores)
    heads = ["condition", "accuracy", "95 % interval", *(["majority", "95 % interval"] if several else [])]
    return [*heads, "questions", "unanswered", "failed", *(["judge", "agreement"] if judged else [])]


def _rows(found: QuestionsEvaluated) -> list[list[str]]:
    several = any(score.samples > 1 for score in found.scores)
    judged = any(score.judge is not None for score in found.scores)
    rows = []
    for score, result in zip(found.scores, found.results, strict=True):
        row = [result.system, _percent(score.mean), _ends(score.mean_interval)]
        if several:
            row += [_percent(score.majority.accuracy), _ends(score.majority.interval)]
        row += [str(len(score.tallies)), str(score.unanswered), str(score.failed)]
        if judged:
            judge = score.judge
            row += ["–", "–"] if judge is None else [_percent(judge.accuracy), _percent(judge.agreement)]
        rows.append(row)
    return rows


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


def _domains(scores: Sequence[Score]) -> tuple[list[str], list[list[str]]]:
    names = list(dict.fromkeys(name for score in scores for name in score.domains))
    heads = ["domain", "questions", *(CONDITIONS[score.condition] for score in scores)]
    empty = Share(0, 0, None)

    def shown(share: Share) -> str:
        return f"{_percent(share.accuracy)} ({_ends(share.interval)})"

    rows = []
    for name in names:
        shares = [score.domains.get(name, empty) for score in scores]
        rows.append([name, str(shares[0].total), *map(shown, shares)])
    return heads, rows


def _title(found: QuestionsEvaluated) -> str:
    return " ".join(filter(None, (found.setup.benchmark, found.setup.split))) + ": multiple choice"


def _outcome(rights: Sequence[bool]) -> str:
    if len(set(rights)) == 1:
        return "right" if rights[0] else "wrong"
    return "changed" if rights[0] == rights[-1] else "won" if rights[-1] else "lost"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in (heads, marks, *rows)
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _ends(interval: Interval | None) -> str:
    return "–" if interval is None else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


# ---- JSON -----------------------------------------------------------------------------------------


def _score(score: Score) -> dict[str, Any]:
    judge = score.judge
    return {
        "accuracy": score.mean,
        "interval": _listed(score.mean_interval),
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
    means = difference.means
    return {
        "first": difference.first,
        "second": difference.second,
        "difference": means.difference,
        "interval": _listed(means.interval),
        "p": {"mcnemar": difference.p, "randomisation": means.randomisation_p, "t": means.t_p},
        "won": list(difference.won),
        "lost": list(difference.lost),
    }


def _share(share: Share) -> dict[str, Any]:
    ends = _listed(share.interval)
    return {"accuracy": share.accuracy, "right": share.right, "total": share.total, "interval": ends}


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
