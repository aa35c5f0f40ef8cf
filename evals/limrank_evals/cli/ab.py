"""`limrank eval ab`: two rerankers on one's own queries and corpus, with judgements or without."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limrank_evals.cli import options
from limrank_evals.cli.judge import QueriesFile, queries_of
from limrank_evals.cli.printing import show_grid
from limrank_evals.stats.intervals import RESAMPLES
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.corpus_files import Corpus
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers.languages import DEFAULT
from limrank_plugins.wording import number_of

if TYPE_CHECKING:
    from limrank_evals.ab.ab_report import AbReport
    from limrank_evals.runs import Ranked
    from limrank_plugins.reranker import Reranker

_SideOptions = Annotated[
    list[str] | None,
    typer.Option(
        help="An argument of that side's reranker or backend as key=value, such as reasoning=none, "
        "backend=openai, base_url=http://localhost:8000/v1; repeat for more.",
        show_default=False,
    ),
]


@reports_errors
def ab(
    a: Annotated[str, typer.Option("--a", help="The one to compare with: RECIPE or RECIPE@MODEL.")],
    b: Annotated[str, typer.Option("--b", help="The other one; above 0 it is the better one.")],
    corpus: common.CorpusOption,
    queries: QueriesFile = None,
    a_option: _SideOptions = None,
    b_option: _SideOptions = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    retriever: common.FirstStage = "bm25s",
    language: common.Language = "english",
    run: Annotated[
        Path | None,
        typer.Option(help="A first stage's run (TREC or JSONL), instead of a search.", show_default=False),
    ] = None,
    k: common.Depth = 100,
    top: Annotated[int, typer.Option(help="How many documents are the top.")] = 10,
    persistence: Annotated[float, typer.Option(help="Of rank-biased overlap, above 0 and below 1.")] = 0.9,
    qrels: Annotated[
        Path | None,
        typer.Option(
            "--qrels", help="Judgements, people's or those of `eval judge`: who wins?", show_default=False
        ),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="By the judgements; repeat for more. Default: nDCG@10.",
            show_default=False,
        ),
    ] = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    batch: Annotated[int, typer.Option(help="Queries ranked in lockstep and committed together.")] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="The comparison's folder.")] = Path("ab"),
    fresh: common.Fresh = False,
    worst: Annotated[int, typer.Option(help="How many of the queries that move most are listed.")] = 10,
    level: options.Level = 0.95,
    resamples: options.Resamples = RESAMPLES,
    seed: options.Seed = 0,
    as_json: common.AsJson = False,
) -> None:
    """Compare two rerankers on your own queries: how often the top differs, and with judgements, who wins.

    Both rerank the same candidates. Without judgements: a.jsonl and b.jsonl of the folder are runs that
    `limrank eval judge` takes; the same command with its --qrels ranks nothing again.
    """
    from limrank_evals.ab.ab_job import A, B, ab_into
    from limrank_evals.ab.ab_report import MEASURES, ab_grids, compare_sides
    from limrank_evals.comparison import Resampling
    from limrank_evals.judgements import about_judgements, read_judgements
    from limrank_plugins.corpus import corpus_fingerprint, run_candidates, whole_where_named

    for flag, number in (("--k", k), ("--top", top), ("--batch", batch)):
        whole_number(flag, number, least=1)
    whole_number("--worst", worst, least=0)
    if not 0 < finite_number("--persistence", persistence) < 1:
        raise InputError(f"--persistence must be > 0 and < 1, but got {persistence}")
    if measure and qrels is None:
        raise InputError("--measure is by judgements: name their file with --qrels")
    resampling = Resampling(level, resamples, seed)
    judged = None if qrels is None else read_judgements(qrels)
    who = [] if qrels is None else about_judgements(qrels)
    in_qrels = {document for grades in (judged or {}).values() for document in grades}
    source = whole_where_named(Corpus(corpus, field, title_field, passages), in_qrels)
    asked = queries_of(corpus, queries)
    specs = [reranking.recipe_and_model(spec, flag) for flag, spec in (("--a", a), ("--b", b))]
    placed = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    arguments = [
        placed | common.parse_options(pairs, flag)
        for flag, pairs in (("--a-option", a_option), ("--b-option", b_option))
    ]
    if run is not None and language != DEFAULT:
        raise InputError(f"--language {language} is for a search, but --run names what was found: drop one")
    if run is None:
        index = common.open_index(source, retriever, language=language)
        candidates = index.search_many(asked, k)
        first_stage = index.name if language == DEFAULT else f"{index.name} ({language})"
    else:
        candidates, first_stage = run_candidates(run, asked, source, k), str(run)

    def report_of(ranked: Mapping[str, Ranked], notes: list[str]) -> AbReport:
        return compare_sides(
            asked,
            ranked[A],
            ranked[B],
            cutoff=top,
            persistence=persistence,
            qrels=judged,
            measures=measure or MEASURES,
            resampling=resampling,
            settings={
                "a": a,
                "b": b,
                "corpus": str(source),
                "first_stage": first_stage,
                "k": k,
                "top": top,
                "persistence": persistence,
                "qrels": None if qrels is None else str(qrels),
                "level": level,
                "resamples": resamples,
                "seed": seed,
            },
            notes=[*who, *notes],
        )

    with ExitStack() as held:
        sides: dict[str, Reranker] = {}
        for name, (recipe, model), options_of_side in zip((A, B), specs, arguments, strict=True):
            sides[name] = reranking.told_reranker(recipe=recipe, model=model, **options_of_side)
            held.callback(sides[name].close)
        outcome = ab_into(
            output,
            asked,
            candidates,
            sides,
            {"corpus": corpus_fingerprint(source), "first stage": first_stage, "k": k},
            report_of,
            batch=batch,
            fresh=fresh,
            say=common.say,
            progress=held.enter_context(common.progress_bars()),
        )
        priced = {name: reranking.has_price(side) for name, side in sides.items()}
    for warning in outcome.report.warnings:
        common.say(f"note: {warning}")
    if as_json:
        spent = {name: reranking.usage_report(usage) for name, usage in outcome.spent.items()}
        common.emit({**outcome.report.as_json(), "spent": spent, "output": str(outcome.place)})
    else:
        common.tell(f"A: {a}\nB: {b}")
        for grid in ab_grids(outcome.report, most=worst):
            show_grid(grid)
        costs = [
            f"{name}: {words}"
            for name, usage in outcome.spent.items()
            for words in reranking.cost_words(usage, priced=priced[name])
        ]
        common.say("; ".join([*costs, f"runs and report: {outcome.place}"]))
    if outcome.failures:
        common.end_with_failures(
            f"{number_of(outcome.failures, 'document')} could not be judged; the same command asks again for "
            f"what failed"
        )
