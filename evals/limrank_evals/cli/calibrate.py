"""`limrank calibrate`: from judged queries to scores that are probabilities."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from limrank_evals.calibration.fitting import FEW, Method, fit_curve
from limrank_evals.calibration.judged_scores import JudgedScore, Parts, Unjudged, divide
from limrank_evals.calibration.reliability import (
    BINS,
    PreciseThreshold,
    Reliability,
    as_they_are,
    precise_threshold,
    reliability,
)
from limrank_evals.calibration.reliability_plot import draw_reliability, is_reliability_plot
from limrank_evals.calibration.score_sources import Scored, find_collection, rank_collection, read_scored
from limrank_evals.cli import options
from limrank_evals.cli.printing import show_grid
from limrank_evals.stats.intervals import check_level
from limrank_evals.tables import Grid, ends_text, level_text
from limrank_plugins.arguments import check_calibrates, why_not_calibrated
from limrank_plugins.calibration import Calibration, is_calibration
from limrank_plugins.card import CARD, add_to_card, read_card, read_card_of
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.errors import InputError
from limrank_plugins.outputs import check_apart, check_ours, check_output, write_whole
from limrank_plugins.recipes import load_recipe, own_recipes, recipe_names
from limrank_plugins.wording import number_of

SCHEMA = "limrank calibrate 1"


@reports_errors
def calibrate(
    source: Annotated[
        str,
        typer.Argument(
            help="What `limrank rerank -o x.jsonl` wrote (with --qrels); or a collection to be ranked now: "
            "samples, a folder with corpus, queries and judgements (or folder:split), benchmark:split."
        ),
    ],
    qrels: Annotated[
        Path | None,
        typer.Option("--qrels", help="Judgements of a run: TREC, or BEIR's .tsv.", show_default=False),
    ] = None,
    method: Annotated[
        str, typer.Option(help="isotonic (any rising curve; many documents), platt (a logistic one; few).")
    ] = "isotonic",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The calibration, JSON.", show_default="calibration.json"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="The reliability plot, SVG; default: beside the output.", show_default=False),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint's folder: the calibration goes into its limrank.json, too.", show_default=False
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Find the lowest threshold with this precision on held-out queries.", show_default=False
        ),
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share of the queries that is measured, not fitted.")] = 0.3,
    grade: Annotated[int, typer.Option(help="The least grade that is relevant.")] = 1,
    unjudged: Annotated[
        str, typer.Option(help="What a document without a judgement counts as: irrelevant or left-out.")
    ] = "irrelevant",
    bins: Annotated[int, typer.Option(help="Of the calibration error.")] = BINS,
    level: options.Level = 0.95,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="How to rerank a collection, which needs one whose scores can be compared, such as limrank; "
            "or whose scores a run holds, where it does not say so. See `limrank recipes`.",
            show_default=False,
            autocompletion=common.complete(recipe_names),
        ),
    ] = None,
    model: reranking.Model = None,
    backend: reranking.Backend = None,
    reasoning: reranking.Reasoning = None,
    budget: reranking.Budget = None,
    samples: reranking.Samples = 1,
    seed: Annotated[int, typer.Option(help="Of the choice of held-out queries, and of the sampling.")] = 0,
    max_reasoning_tokens: reranking.MaxReasoningTokens = None,
    instruction: common.Instruction = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    option: reranking.Options = None,
    template: reranking.Template = None,
    chunks: reranking.Chunks = None,
    first_stage: Annotated[
        str, typer.Option(help="What finds a collection's candidates, as in `limrank eval folder`.")
    ] = "bm25s",
    k: common.Depth = 100,
    batch: reranking.Batch = 1,
    store: common.StorePath = None,
    fresh: common.AskAnew = False,
    as_json: common.AsJson = False,
) -> None:
    """Fit scores to judgements, so that a score is the probability that a document is relevant.

    The curve is fitted on a part of the queries and measured on the others. `--calibration FILE` (of
    `limrank rerank` and `search`) or `Reranker(…, calibration=FILE)` then applies it: the order stays, and a
    threshold is a probability. Where documents of a collection could not be judged by the model, the
    calibration is written without them, and the exit code is 1.
    """
    output = output or Path("calibration.json")
    picture = plot if plot is not None else output.with_suffix(".svg")
    named = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, chunks=chunks,
    )  # fmt: skip
    run = Path(source)
    is_run = run.is_file()
    outputs = {"output": output, "plot": picture, "card": None if card is None else card / CARD}
    check_apart(**outputs)
    read = [run if is_run else None, qrels, *_files_of(source)]
    for file in filter(None, outputs.values()):
        check_output(file, *read, store=store)
    _check_choices(method, unjudged, held_out, bins, precision, level, grade)
    check_ours(output, is_calibration, option="--output")
    check_ours(picture, is_reliability_plot, option="--plot")
    if card is not None:
        read_card(str(card))
    as_unjudged = cast(Unjudged, unjudged)
    if is_run:
        if qrels is None:
            raise InputError(f"{source} is a run: name its judgements with --qrels")
        scored = read_scored(run, qrels, recipe, unjudged=as_unjudged, grade=grade)
        if card is not None:
            read_card_of(card, scored.recipe)
    else:
        if qrels is not None:
            raise InputError(f"--qrels belongs to a run, but {source!r} is no file")
        _check_recipe(recipe, source)
        collection = find_collection(source)  # before a model is loaded
        with common.open_store(store, fresh=fresh) as opened, common.progress_bars() as show:
            reranker = named.reranker(None)
            check_calibrates(reranker.recipe)
            if card is not None:
                read_card_of(card, reranker.recipe.name)
            if reranker.calibration is not None:
                raise InputError("the reranker has a calibration already: leave it out to fit one")
            reranker.store = opened
            scored = rank_collection(
                collection,
                reranker,
                opened,
                first_stage=first_stage,
                depth=k,
                batch=batch,
                unjudged=as_unjudged,
                grade=grade,
                progress=partial(show, "reranking"),
            )
            reranker.close()
    for note in dict.fromkeys((*scored.notes, *scored.judged.notes())):  # it may be why nothing can be fitted
        common.say(f"note: {note}")
    parts = divide(scored.judged, held_out, seed)
    curve = fit_curve(parts.fitted, cast(Method, method))
    measured = _measured(parts.held_out, scored.score_kind, curve, bins)
    facts = _facts(parts, measured)
    calibration = Calibration(curve, scored.recipe, scored.score_kind, scored.model, scored.reranker, facts)
    cut, why = None, ""
    if precision is not None:
        try:
            cut = precise_threshold(parts.held_out, curve, precision, level)
        except InputError as error:  # none reaches it
            why = str(error)
    calibration.write(output)
    write_whole(picture, draw_reliability(measured).encode())
    if card is not None:
        add_to_card(card, calibration)
    doubts = _doubts(parts, method, scored)
    for doubt in doubts:
        common.say(f"note: {doubt}")
    if why:
        common.say(f"note: {why}, on the held-out queries")
    if as_json:
        common.emit(
            {
                "output": str(output),
                "plot": str(picture),
                "method": method,
                "recipe": scored.recipe,
                **facts,
                "unjudged": scored.judged.unjudged,
                "unjudged_as": scored.judged.unjudged_as,
                "failed": scored.judged.failed,
                "queries_left_out": scored.judged.queries_left_out,
                "threshold": None if cut is None else {**cut._asdict(), "interval": list(cut.interval)},
                "warnings": [*scored.judged.notes(), *doubts],
                "schema": SCHEMA,
            }
        )
    else:
        _show(parts, measured, cut, precision, level)
        common.say(f"{output} (plot: {picture})")
    if scored.judged.failed and not is_run:
        common.end_with_failures(
            f"{number_of(scored.judged.failed, 'document')} could not be judged and stayed out of the "
            f"calibration; the first: {scored.judged.why}. The same command asks again for what failed"
        )


def _files_of(collection: str) -> list[Path]:
    """The files of a collection that is a folder (or `folder:split`): none may be written over."""
    folders = [Path(name) for name in (collection, collection.rpartition(":")[0]) if name]
    return [file for folder in folders for kind in ("*.jsonl*", "qrels/*") for file in folder.glob(kind)]


def _check_choices(
    method: str,
    unjudged: str,
    held_out: float,
    bins: int,
    precision: float | None,
    level: float,
    grade: int,
) -> None:
    """Before hours of work, not after."""
    for name, value, known in (("--method", method, Method), ("--unjudged", unjudged, Unjudged)):
        if value not in get_args(known):
            raise InputError(f"{name} must be one of {', '.join(get_args(known))}, but is {value!r}")
    finite_number("--held-out", held_out, above=0, most=0.9)
    whole_number("--bins", bins, least=1)
    whole_number("--grade", grade, least=1)
    check_level(level, "--level")
    if precision is not None:
        finite_number("--precision", precision, above=0, most=1)


def _check_recipe(recipe: str | None, source: str) -> None:
    """Check before anything is read that the recipe gives scores that can be calibrated.

    Of a recipe that is made of others this is known only when its parts are loaded.

    Raises:
        InputError: it does not, or none is named: the default does not, either.
    """
    known = load_recipe(reranking.DEFAULT_RECIPE if recipe is None else recipe)
    why = "" if known.parts else why_not_calibrated(known)
    if not why:
        return
    subject = f"name a --recipe: the default, {known.name}," if recipe is None else f"recipe {known.name!r}"
    served = "Of a server's own scores, rerank-api:scores=probability and rerank-api:scores=logit can."
    others = ", ".join(each.name for each in own_recipes() if not why_not_calibrated(each))
    raise InputError(
        f"{subject} cannot be calibrated: {why}. {served} These can: {others}. For example: "
        f"limrank calibrate {shlex.quote(source)} --recipe limrank"
    )


def _measured(
    held_out: tuple[JudgedScore, ...], score_kind: str, curve: Any, bins: int
) -> dict[str, Reliability]:
    """The held-out probabilities, before (where scores can be read as such) and after."""
    relevant = [score.relevant for score in held_out]
    before = as_they_are(score_kind)
    readings = {"before": before, "after": curve}
    return {
        name: reliability([read(score.score) for score in held_out], relevant, bins)
        for name, read in readings.items()
        if read is not None
    }


def _facts(parts: Parts, measured: dict[str, Reliability]) -> dict[str, float | None]:
    facts: dict[str, float | None] = {}
    for name, part in (("fitted", parts.fitted), ("held_out", parts.held_out)):
        facts[f"{name}_queries"] = len({score.query for score in part})
        facts[f"{name}_documents"] = len(part)
        facts[f"{name}_relevant"] = sum(score.relevant for score in part)
    for name in ("before", "after"):
        of = measured.get(name)
        facts[f"ece_{name}"] = None if of is None else of.ece
        facts[f"brier_{name}"] = None if of is None else of.brier
    return facts


def _doubts(parts: Parts, method: str, scored: Scored) -> list[str]:
    doubts = []
    if method == "isotonic" and len(parts.fitted) < FEW:
        doubts.append(
            f"isotonic regression on {number_of(len(parts.fitted), 'document')} may fit chance: compare "
            f"--method platt"
        )
    if not scored.reranker:
        doubts.append("the run does not say which reranker made it, so its use elsewhere cannot be noticed")
    return doubts


def _show(
    parts: Parts,
    measured: dict[str, Reliability],
    cut: PreciseThreshold | None,
    precision: float | None,
    level: float,
) -> None:
    rows = [[name, f"{of.ece:.4f}", f"{of.brier:.4f}"] for name, of in measured.items()]
    if "before" not in measured:
        rows.insert(0, ["before", "no probability", ""])
    show_grid(Grid(("held-out queries", "ECE", "Brier"), rows))
    for name, part in (("fitted on", parts.fitted), ("measured on", parts.held_out)):
        relevant = sum(score.relevant for score in part)
        queries = len({score.query for score in part})
        common.tell(
            f"{name} {number_of(queries, 'query')}: {number_of(len(part), 'document')}, {relevant:,} relevant"
        )
    if cut is not None:
        common.tell(
            f"threshold {cut.threshold:.6g}: precision {cut.precision:.4f} ({level_text(level)} interval "
            f"{ends_text(cut.interval)}) of {number_of(cut.kept, 'document')}, recall {cut.recall:.4f}"
        )
    elif precision is not None:
        common.tell(f"threshold: none reaches precision {precision:g}")
