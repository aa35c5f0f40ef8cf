"""How far a model's judgements agree with people's: grade by grade, and in the order they give systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from limrank_evals.comparison import Resampling, ends
from limrank_evals.judgements import Qrels
from limrank_evals.judging.pooling import PooledRun
from limrank_evals.judging.relevance_judge import HIGHEST
from limrank_evals.measures import measure
from limrank_evals.stats import Interval, bootstrap_of
from limrank_evals.stats.agreement_coefficients import Array, disagreement, kendall_tau, weighted_kappa

MEASURE = "nDCG@10"


class Estimate(NamedTuple):
    """A number with its interval over queries; None where it is not defined."""

    value: float | None
    interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"value": self.value, "interval": ends(self.interval)}


@dataclass(frozen=True, slots=True)
class GradeAgreement:
    """A model's grades beside people's, on the pairs that both judged.

    Attributes:
        pairs: how many.
        queries: of how many queries.
        table: by people's grade, then by the model's: how many pairs. Grades below 0 count as 0.
        same: the share of equal grades.
        plain: Cohen's kappa, to which every mistake is the same.
        quadratic: with quadratic weights, to which a far one is worse.
        binary: of relevant or not.
        relevant: from which grade on a passage is relevant, people's and the model's.
        notes: what else to know, a sentence each.
    """

    pairs: int
    queries: int
    table: tuple[tuple[int, ...], ...]
    same: Estimate
    plain: Estimate
    quadratic: Estimate
    binary: Estimate
    relevant: tuple[int, int]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines; see docs/judging.md."""
        return {
            "pairs": self.pairs,
            "queries": self.queries,
            "table": [list(row) for row in self.table],
            "same": self.same.as_json(),
            "kappa": {
                "plain": self.plain.as_json(),
                "quadratic": self.quadratic.as_json(),
                "binary": self.binary.as_json(),
            },
            "relevant_from": {"people": self.relevant[0], "model": self.relevant[1]},
        }


@dataclass(frozen=True, slots=True)
class SystemAgreement:
    """The order of the runs under both judgements.

    Attributes:
        means: by run: the measure by people's judgements and by the model's.
        tau: Kendall's tau-b of the two orders.
        queries: that both judged and the means are over.
    """

    means: Mapping[str, tuple[float, float]]
    tau: Estimate
    queries: int

    def as_json(self) -> dict[str, Any]:
        """For machines; see docs/judging.md."""
        return {
            "measure": MEASURE,
            "queries": self.queries,
            "runs": {name: {"people": p, "model": m} for name, (p, m) in self.means.items()},
            "tau": self.tau.as_json(),
        }


def grade_agreement(
    human: Qrels, model: Qrels, resampling: Resampling, *, relevant: tuple[int, int] = (1, 2)
) -> GradeAgreement | None:
    """Compare grades on the pairs that both judged; None where there is no such pair.

    Args:
        human: people's judgements.
        model: the model's.
        resampling: how intervals are made; whole queries are drawn.
        relevant: from which grade on a passage is relevant, people's and the model's.
    """
    pairs: dict[str, list[tuple[int, int]]] = {}
    for query in sorted(set(model) & set(human)):
        people = human[query]
        both = [(max(0, people[d]), grade) for d, grade in model[query].items() if d in people]
        if both:
            pairs[query] = both
    if not pairs:
        return None
    highest = max(grade for both in pairs.values() for grade, _ in both)
    size = max(highest, HIGHEST) + 1
    tables = np.zeros((len(pairs), size, size), dtype=np.int64)
    binary = np.zeros((len(pairs), 2, 2), dtype=np.int64)
    for place, both in enumerate(pairs.values()):
        for one, other in both:
            tables[place, one, other] += 1
            binary[place, int(one >= relevant[0]), int(other >= relevant[1])] += 1

    def kappa(counts: Array, power: int) -> Estimate:
        weights = disagreement(counts.shape[-1], power)
        return _estimate(counts, lambda drawn: weighted_kappa(drawn.sum(-3), weights), resampling)

    def share(drawn: Array) -> Array:
        counts = drawn.sum(-3)
        return np.asarray(np.trace(counts, axis1=-2, axis2=-1) / counts.sum((-2, -1)))

    scale = max(max(grades.values(), default=0) for grades in human.values())
    notes = []
    if scale != HIGHEST:
        notes.append(
            f"people's grades go to {scale} and the model's to {HIGHEST}: kappa over grades compares two "
            f"scales, the binary one does not"
        )
    return GradeAgreement(
        sum(map(len, pairs.values())),
        len(pairs),
        tuple(tuple(map(int, row)) for row in tables.sum(0)[: highest + 1, : HIGHEST + 1]),
        _estimate(tables, share, resampling),
        kappa(tables, 0),
        kappa(tables, 2),
        kappa(binary, 0),
        relevant,
        tuple(notes),
    )


def system_agreement(
    runs: Sequence[PooledRun], human: Qrels, model: Qrels, resampling: Resampling
) -> SystemAgreement | None:
    """The order of at least two runs by nDCG@10 under both judgements, over the queries that both judged."""
    both = sorted(query for query in model if query in human)
    if len(runs) < 2 or not any(query in run.ranked for run in runs for query in both):
        return None
    values = np.zeros((len(both), 2, len(runs)))
    for side, qrels in enumerate((human, model)):
        judged = {query: qrels[query] for query in both}
        for place, run in enumerate(runs):
            ranked = {query: run.ranked.get(query, []) for query in both}
            by_query = measure(ranked, judged, [MEASURE]).per_query[MEASURE]
            values[:, side, place] = [by_query[query] for query in both]

    def tau(drawn: Array) -> Array:
        means = drawn.mean(-3)
        return kendall_tau(means[..., 0, :], means[..., 1, :])

    means = values.mean(0)
    return SystemAgreement(
        {run.name: (float(means[0, i]), float(means[1, i])) for i, run in enumerate(runs)},
        _estimate(values, tau, resampling),
        len(both),
    )


def _estimate(rows: Array, statistic: Callable[[Array], Array], resampling: Resampling) -> Estimate:
    value = float(statistic(rows))
    if np.isnan(value):
        return Estimate(None, None)
    interval = bootstrap_of(
        rows, statistic, level=resampling.level, resamples=resampling.resamples, seed=resampling.seed
    )
    return Estimate(value, interval)
