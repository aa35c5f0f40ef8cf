"""An evaluation by questions as JSON: numbers with their settings, and question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from limrank_evals.questions.accuracy import Difference, Score, Share, Tally
from limrank_evals.questions.evaluated import QuestionsEvaluated
from limrank_evals.questions.journal import SCHEMA
from limrank_evals.stats import Interval


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


def _outcome(rights: Sequence[bool]) -> str:
    if len(set(rights)) == 1:
        return "right" if rights[0] else "wrong"
    return "changed" if rights[0] == rights[-1] else "won" if rights[-1] else "lost"


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
