"""A run scored: excluded documents out, its order settled, cut, measured, with intervals and counts.

The order of the steps is the protocol: order by score, take the excluded documents out, then cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from limrank_evals.comparison import USUAL, Resampling
from limrank_evals.exclusion import Excluded, check_judgements, count_excluded, exclude, read_excluded
from limrank_evals.judgements import Qrels, about_judgements, read_judgements
from limrank_evals.measures import DEFAULT_MEASURES, Measurement, OwnMeasure, measure
from limrank_evals.runs import (
    Ranked,
    RunFile,
    RunLines,
    TieRule,
    arranged,
    cut,
    read_run_file,
    tied,
    unfinished,
)
from limrank_evals.stats import Interval
from limrank_plugins import __version__
from limrank_plugins.io import RunState
from limrank_plugins.pipes import is_pipe
from limrank_plugins.wording import number_of, verb_for


@dataclass(frozen=True, slots=True)
class RunScores:
    """A run and its scores.

    Attributes:
        measured: values by measure and query, their means, and which queries those are over.
        intervals: of the means.
        ranked: what was measured: without excluded documents, cut.
        removed: how many excluded documents the run held.
        tied: how many of its documents share their score with another of their query.
        ties: the rule that put those in order.
        state: what the run says of itself.
    """

    measured: Measurement
    intervals: Mapping[str, Interval | None]
    ranked: Ranked
    removed: int
    tied: int
    ties: TieRule
    state: RunState = field(default_factory=RunState)

    def counts(self) -> dict[str, int]:
        """Queries of each kind, excluded documents that were removed, tied documents."""
        return {**self.measured.coverage.counts(), "excluded_removed": self.removed, "tied": self.tied}

    def warnings(self, *, of_ties: bool = True) -> list[str]:
        """What a reader must know beside the numbers, a sentence each.

        Args:
            of_ties: equal scores are worth a sentence, as another rule would order them otherwise.
        """
        notes = [*self.measured.coverage.warnings(), *self.measured.warnings]
        if self.tied and of_ties:
            notes.append(
                f"{number_of(self.tied, 'document')} {verb_for(self.tied, 'have')} the same score as another "
                f"of the same query; they count in the order {_ORDER[self.ties]}, and another order may give "
                f"slightly other numbers"
            )
        return notes + unfinished(self.state)


_ORDER: dict[TieRule, str] = {
    "trec_eval": "of their ids, the last one first, as trec_eval has it",
    "rank": "of the run's ranks",
    "first-stage": "of the first stage",
}


def score(
    rows: RunLines,
    qrels: Qrels,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    excluded: Mapping[str, Collection[str]] | None = None,
    ties: TieRule = "trec_eval",
    first_stage: Ranked | None = None,
    depth: int | None = None,
    changed: Mapping[str, Sequence[str]] | None = None,
    own: Mapping[str, OwnMeasure] | None = None,
    resampling: Resampling = USUAL,
) -> RunScores:
    """Score a run.

    Args:
        rows: the run: `limrank_evals.runs.read_run_lines` or `run_lines_of`.
        qrels: `limrank_evals.judgements.read_judgements`.
        measures: see `limrank_evals.measures`.
        excluded: documents that must not count, by query; they go before the cut.
        ties: what decides between equal scores, see `limrank_evals.runs`.
        first_stage: the first stage's order, for `ties="first-stage"`.
        depth: how many documents of every query are looked at; None for all.
        changed: the documents p-MRR looks at, see `measure`.
        own: a benchmark's own measures, see `measure`.
        resampling: how intervals are made.

    Raises:
        InputError: see `arranged`, `cut` and `measure`; or a document relevant and excluded.
    """
    ranked = arranged(rows, ties, first_stage)
    removed = count_excluded(ranked, excluded or {})
    if excluded is not None:
        check_judgements(qrels, excluded)
        ranked = exclude(ranked, excluded)
    if depth is not None:
        ranked = cut(ranked, depth)
    measured = measure(ranked, qrels, measures, changed=changed, own=own)
    intervals = {name: resampling.interval(values.values()) for name, values in measured.per_query.items()}
    return RunScores(measured, intervals, ranked, removed, tied(rows), ties)


@dataclass(frozen=True)
class RunScorer:
    """Scores the runs in files by one setting, see `score`; judgements and exclusions are read once."""

    qrels: Path
    measures: Sequence[str] | None
    excluded: Path | None
    ties: str
    first_stage: Path | None
    depth: int | None
    resampling: Resampling

    def score(self, run: Path) -> RunScores:
        """Score one run; raises an `InputError` that names what is wrong with a file."""
        rows, state = read_run_file(run)
        scores = score(
            rows,
            self.judgements,
            self.measures or DEFAULT_MEASURES,
            excluded=self.exclusions,
            ties=cast(TieRule, self.ties),  # `arranged` refuses any other
            first_stage=self.first,
            depth=self.depth,
            resampling=self.resampling,
        )
        return replace(scores, state=state)

    def warnings(self) -> list[str]:
        """What a reader must know beside the numbers of all runs, a sentence each."""
        first = [] if self._first is None else unfinished(self._first.state, "first stage's run")
        return [*about_judgements(self.qrels), *first]

    @cached_property
    def judgements(self) -> Qrels:
        """What the file of judgements holds."""
        return read_judgements(self.qrels)

    @cached_property
    def exclusions(self) -> Excluded | None:
        """What the file of exclusions holds; None without one."""
        return None if self.excluded is None else read_excluded(self.excluded)

    @cached_property
    def first(self) -> Ranked | None:
        """The first stage's order; None without its run."""
        return None if self._first is None else arranged(self._first.rows)

    @cached_property
    def _first(self) -> RunFile | None:
        return None if self.first_stage is None else read_run_file(self.first_stage)

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on beside the run, as JSON."""
        return {
            "qrels": str(self.qrels),
            "qrels_sha256": None if is_pipe(self.qrels) else _sha256(self.qrels),
            "excluded": str(self.excluded) if self.excluded else None,
            "ties": self.ties,
            "first_stage": str(self.first_stage) if self.first_stage else None,
            "depth": self.depth,
            **asdict(self.resampling),
            "version": __version__,
        }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
