"""The options that the subcommands about runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limrank_evals.measures import DEFAULT_MEASURES

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
Seed = Annotated[int, typer.Option(min=0, help="Of the resampling.")]
