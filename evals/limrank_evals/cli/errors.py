"""`limrank eval errors`: where a run goes wrong, and which passages it takes for better ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from limrank_evals.cli import options
from limrank_evals.stats.intervals import RESAMPLES
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError

if TYPE_CHECKING:
    from limrank_evals.errors import DetailedRun, Kinds
    from limrank_evals.judgements import Qrels
    from limrank_evals.runs import Ranked, TieRule


@reports_errors
def errors(
    run: Annotated[Path, typer.Argument(help="A run: our .jsonl knows most, TREC will do; .gz too.")],
    qrels: options.Judgements,
    kinds: Annotated[
        Path | None,
        typer.Option(
            help="Kinds of passages: lines 'query document kind' (direct, indirect[:…], negative[:…]), or "
            "a synthesis's rows.jsonl.",
            show_default=False,
        ),
    ] = None,
    direct_grade: Annotated[
        int | None,
        typer.Option(
            help="Instead of --kinds: from this grade on a passage is direct, above 0 indirect.",
            show_default=False,
        ),
    ] = None,
    wants: Annotated[
        Path | None,
        typer.Option(
            help="What queries want: lines 'query direct|background|either'; default: all want direct "
            "answers.",
            show_default=False,
        ),
    ] = None,
    first_stage: options.FirstStageRun = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Another run over the same candidates to compare with.", show_default=False),
    ] = None,
    measure: Annotated[
        str, typer.Option("--measure", "-m", help="Of the error budget, as ir_measures writes it.")
    ] = "nDCG@10",
    top: Annotated[
        int | None,
        typer.Option(
            help="How many documents are the top; default: the measure's cut, or 10.", show_default=False
        ),
    ] = None,
    bins: Annotated[
        str, typer.Option(help="Numbers of relevant documents to put queries together by.")
    ] = "1,2,3-5,6-10,11-",
    excluded: options.ExcludedFile = None,
    ties: options.Ties = "trec_eval",
    depth: Annotated[
        int | None,
        typer.Option(
            help="How many documents of every query were reranked; default: as many of the first stage's as "
            "it takes to hold the run's.",
            show_default=False,
        ),
    ] = None,
    level: options.Level = 0.95,
    resamples: options.Resamples = RESAMPLES,
    seed: options.Seed = 0,
    worst: Annotated[int, typer.Option(help="How many cases of every list.")] = 10,
    explanations: Annotated[
        bool, typer.Option("--explanations", help="With the model's reasoning about confused pairs (JSON).")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Error analysis: direct against indirect, few relevant passages, and what each mistake costs."""
    from limrank_evals.cli.error_tables import show
    from limrank_evals.comparison import Resampling
    from limrank_evals.errors import analyse, read_wishes
    from limrank_evals.errors.relevant_counts import parse_bins
    from limrank_evals.scoring import RunScorer

    if worst < 0:
        raise InputError(f"--worst must be 0 or more, but is {worst}")
    resampling = Resampling(level, resamples, seed)
    scorer = RunScorer(qrels, [measure], excluded, ties, first_stage, depth, resampling)
    found = analyse(
        _listing(run, ties, scorer.first),
        scorer.judgements,
        first=scorer.first,
        kinds=_kinds(kinds, direct_grade, scorer.judgements),
        wishes=read_wishes(wants) if wants else None,
        against=_listing(against, ties, scorer.first) if against else None,
        name=measure,
        top=top,
        bins=parse_bins(bins),
        excluded=scorer.exclusions,
        depth=depth,
        resampling=resampling,
    )
    found = replace(found, warnings=(*found.warnings, *scorer.warnings()))
    for warning in found.warnings:
        common.say(f"note: {warning}")
    if as_json:
        settings = {
            "run": str(run),
            **scorer.settings(),
            "kinds": str(kinds) if kinds else None,
            "direct_grade": direct_grade,
            "wants": str(wants) if wants else None,
            "against": str(against) if against else None,
            "bins": bins,
        }
        common.emit({**found.as_json(worst, explanations=explanations), "settings": settings})
        return
    show(found, worst)


def _listing(run: Path, ties: str, first: Ranked | None) -> DetailedRun:
    from limrank_evals.errors import read_detailed_run

    # `arranged` refuses an unknown rule, and one that lacks its first stage.
    return read_detailed_run(run, cast("TieRule", ties), first if ties == "first-stage" else None)


def _kinds(path: Path | None, direct_grade: int | None, judged: Qrels) -> Kinds | None:
    from limrank_evals.errors import kinds_from_grades, read_kinds

    if path is not None and direct_grade is not None:
        raise InputError("give either --kinds or --direct-grade: each of them says what every passage is")
    if path is not None:
        return read_kinds(path, judged)
    return None if direct_grade is None else kinds_from_grades(judged, direct_grade)
