"""What the subcommands about runs share: their options, and how files become scores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from limrank_evals.exclusion import read_excluded
from limrank_evals.judgements import read_judgements
from limrank_evals.measures import DEFAULT_MEASURES
from limrank_evals.runs import TieRule, arranged, read_run_lines
from limrank_evals.scoring import RunScores, score
from limrank_evals.stats import Interval
from limrank_plugins import __version__

Judgements = Annotated[
    Path, typer.Option("--qrels", "-q", help="Judgements: TREC (4 columns) or BEIR's .tsv; .gz too.")
]
Measures = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        "-m",
        help="As ir_measures writes them (nDCG@10, MAP@1000, R@20, RR, P@5, …) or p-MRR; repeat for more. "
        f"Default: {', '.join(DEFAULT_MEASURES)}.",
        show_default=False,
    ),
]
ExcludedFile = Annotated[
    Path | None,
    typer.Option(
        "--excluded",
        help="Documents that must not count: lines 'query document', or BRIGHT's examples as .jsonl. "
        "They are removed before any cut.",
        show_default=False,
    ),
]
Ties = Annotated[
    str,
    typer.Option(
        help="What decides between equal scores: trec_eval (document id, last first), rank (the run's own "
        "rank column) or first-stage (the order in --first-stage)."
    ),
]
FirstStageRun = Annotated[
    Path | None, typer.Option("--first-stage", help="The run that was reranked.", show_default=False)
]
Depth = Annotated[
    int | None,
    typer.Option(help="Look at this many documents of every query; default: all.", show_default=False),
]
Level = Annotated[float, typer.Option(help="Of the intervals.")]
Resamples = Annotated[int, typer.Option(help="Of the bootstrap and the randomisation test.")]
Seed = Annotated[int, typer.Option(help="Of the resampling.")]


@dataclass(frozen=True)
class Scoring:
    """The options as given, and runs scored by them; judgements and exclusions are read once."""

    qrels: Path
    measures: list[str] | None
    excluded: Path | None
    ties: str
    first_stage: Path | None
    depth: int | None
    level: float
    resamples: int
    seed: int

    def score(self, run: Path) -> RunScores:
        """Score one run; raises an `InputError` that names what is wrong with a file."""
        return score(
            read_run_lines(run),
            self._judgements,
            self.measures or DEFAULT_MEASURES,
            excluded=self._exclusions,
            ties=cast(TieRule, self.ties),  # `arranged` refuses any other
            first_stage=arranged(read_run_lines(self.first_stage)) if self.first_stage else None,
            depth=self.depth,
            level=self.level,
            resamples=self.resamples,
            seed=self.seed,
        )

    @cached_property
    def _judgements(self) -> dict[str, dict[str, int]]:
        return read_judgements(self.qrels)

    @cached_property
    def _exclusions(self) -> dict[str, set[str]] | None:
        return None if self.excluded is None else read_excluded(self.excluded)

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on beside the run, as JSON."""
        return {
            "qrels": str(self.qrels),
            "qrels_sha256": hashlib.sha256(self.qrels.read_bytes()).hexdigest(),
            "excluded": str(self.excluded) if self.excluded else None,
            "ties": self.ties,
            "first_stage": str(self.first_stage) if self.first_stage else None,
            "depth": self.depth,
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "version": __version__,
        }


def shown(interval: Interval | None, *, signed: bool = False) -> str:
    """An interval for people."""
    if interval is None:
        return "–"
    low, high = (f"{end:+.4f}" if signed else f"{end:.4f}" for end in interval)
    return f"{low} … {high}"
