"""`limrank score`: training rows with a teacher's scores beside them, for plans that distil them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.backends.counting import UsageSum
from limrank_plugins.begun_anew import working_on
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.data import ScoreKind
from limrank_plugins.errors import InputError
from limrank_plugins.locks import alone_at
from limrank_plugins.outputs import check_ours, check_output, write_json_lines
from limrank_plugins.ranking_job import rank_all
from limrank_plugins.recipes import load_recipe
from limrank_plugins.store import default_store_path
from limrank_plugins.wording import number_of, shortened
from limrank_training import teacher
from limrank_training.teacher import QueryRows, UnscoredRow

_SCALES: dict[ScoreKind, str] = {"probability": "logit", "logit": "none"}
"""How each kind of score becomes a logit; any other has no scale of its own."""

NO_RETRIEVER = "none"


@reports_errors
def score(
    context: typer.Context,
    rows: Annotated[
        Path, typer.Argument(help="Training rows: .jsonl (query, passage, perhaps title and relevant).")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The same rows with `score` and `teacher`: .jsonl.")
    ],
    scores: Annotated[
        Path | None,
        typer.Option(
            help="A file of scores instead of a recipe: a TREC run, or .jsonl (query_id, id, score), or what "
            "`limrank rerank` wrote as .jsonl; rows are found by query_id and id.",
            show_default=False,
        ),
    ] = None,
    recipe: reranking.Recipe = None,
    model: reranking.Model = None,
    backend: reranking.Backend = None,
    reasoning: reranking.Reasoning = None,
    budget: reranking.Budget = None,
    samples: reranking.Samples = 1,
    seed: reranking.Seed = 0,
    max_reasoning_tokens: reranking.MaxReasoningTokens = None,
    instruction: common.Instruction = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    option: reranking.Options = None,
    template: reranking.Template = None,
    chunks: reranking.Chunks = None,
    calibration: reranking.Calibration = None,
    retriever: Annotated[
        str,
        typer.Option(
            help="First stage whose scores the recipe sees, as mini and fuse want: it searches all passages "
            "of the file. none: passages have no such score."
        ),
    ] = "bm25s",
    language: common.Language = "english",
    batch: reranking.Batch = 1,
    store: common.StorePath = None,
    fresh: common.Fresh = False,
    as_json: common.AsJson = False,
) -> None:
    """Put a teacher's scores beside training rows, for plans that distil them.

    The teacher is any recipe with scores, which sees all passages of a query at once, or a file. Rows whose
    passage could not be judged, or that the file does not have, are left out, and the exit code is 1: the
    same command asks for what is missing. After a kill, finished queries are not computed again.
    """
    options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, calibration, chunks=chunks,
    )  # fmt: skip
    whole_number("--batch", batch, least=1)
    check_output(output, rows, scores, store=store)
    check_ours(output, teacher.is_scored, option="--output")
    if scores is not None:
        _refuse_recipe(context)
        _join(rows, scores, output, as_json)
        return
    if recipe is not None and load_recipe(recipe).score_kind == "rank":
        raise teacher.no_scores(recipe)
    unscored = teacher.read_unscored(rows)
    queries = teacher.query_rows(unscored)
    if retriever != NO_RETRIEVER:
        queries = teacher.with_priors(queries, retriever, language)
    reranker = options.reranker(None)
    same = {"reranker": reranker.identity, "rows": str(rows), "retriever": [retriever, language]}
    spent = UsageSum()
    with alone_at(output), working_on(output, same, fresh=fresh, say=common.say) as work:
        opened = work.store(store if store is not None else default_store_path())
        with opened, common.progress_bars() as show:
            reranker.store = opened
            records, computed = rank_all(
                reranker,
                [query.query for query in queries],
                [query.documents for query in queries],
                opened,
                batch=batch,
                progress=partial(show, "scoring"),
                spent=spent,
            )
        known = teacher.scores_of_rows(queries, records)
        failed = [failure for record in records for failure in record["failures"]]
        if failed and work.is_anew and work.has_earlier:
            output = work.place / output.name
        write_json_lines(output, teacher.scored_rows(unscored, known, _teacher(reranker.recipe.name, model)))
        work.end(is_finished=not failed)
    kind: ScoreKind = records[0]["score_kind"]
    report: dict[str, Any] = {
        "output": str(output),
        "rows": len(unscored),
        "scored": len(known),
        "queries": len(queries),
        "computed": computed,
        "resumed": len(queries) - computed,
        "failures": len(failed),
        "score_kind": kind,
        "scale": _SCALES.get(kind, "zscore"),
        **reranking.usage_report(spent.usage),
    }
    words = [
        f"{number_of(computed, 'query')} judged now, {report['resumed']:,} kept from before",
        *reranking.cost_words(spent.usage, priced=computed > 0 and reranking.has_price(reranker)),
        f"scores are of kind {kind}: train with --set teacher.scale={report['scale']}",
    ]
    _tell(report, words, as_json)
    if failed:
        place, reason = _first_failed(queries, records)
        common.end_with_failures(
            f"{number_of(len(failed), 'passage')} could not be judged and {_left_out(failed)}; the first "
            f"one, {unscored[place].where}: {shortened(reason)}. The same command asks again for what failed"
        )


def _teacher(recipe: str, model: str | None) -> str:
    """What rows and model cards call it; where a folder lies on this machine is nobody's business."""
    if model is None:
        return recipe
    return f"{recipe}@{Path(model).name if Path(model).exists() else model}"


def _join(rows: Path, scores: Path, output: Path, as_json: bool) -> None:
    """Rows with the scores of a file."""
    unscored = teacher.read_unscored(rows)
    known = teacher.joined(unscored, teacher.read_scores(scores))
    missing = [row for place, row in enumerate(unscored) if place not in known]
    with alone_at(output):
        write_json_lines(output, teacher.scored_rows(unscored, known, scores.name))
    report = {"output": str(output), "rows": len(unscored), "scored": len(known), "failures": len(missing)}
    _tell(report, [], as_json)
    if missing:
        common.end_with_failures(
            f"{scores} has no score for {number_of(len(missing), 'row')}, which {_left_out(missing)}; the "
            f"first: {'; '.join(map(_named, missing[:3]))}"
        )


def _tell(report: dict[str, Any], words: list[str], as_json: bool) -> None:
    if as_json:
        common.emit(report)
        return
    common.say(
        "; ".join(
            [f"{report['scored']:,} of {number_of(report['rows'], 'row')} in {report['output']}", *words]
        )
    )


def _refuse_recipe(context: typer.Context) -> None:
    """Check that nothing is said of a recipe beside a file of scores."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        is_set = source is not None and source.name == "COMMANDLINE"
        if is_set and parameter.name not in ("rows", "output", "scores", "as_json"):
            raise InputError(
                f"--scores names a file of scores, so {parameter.opts[0]} says nothing: drop one"
            )


def _first_failed(queries: list[QueryRows], records: list[dict[str, Any]]) -> tuple[int, str]:
    """The place of the first row whose passage could not be judged, and why."""
    for query, record in zip(queries, records, strict=True):
        for failure in record["failures"]:
            return query.rows[int(failure["id"])], failure["reason"]
    raise AssertionError("there is one")


def _left_out(rows: list[Any]) -> str:
    return "is left out" if len(rows) == 1 else "are left out"


def _named(unscored: UnscoredRow) -> str:
    row = unscored.row
    return (
        f"{unscored.where} (query {shortened(repr(row['query_id']))}, passage {shortened(repr(row['id']))})"
    )
