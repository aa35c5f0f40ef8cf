"""`limrank eval judge`: the first passages of runs graded by a model, and how far it agrees with people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limrank_evals.cli import options
from limrank_evals.cli.printing import show_grid
from limrank_evals.stats.intervals import RESAMPLES
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.corpus import Corpus, is_samples
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_queries
from limrank_plugins.tables import KINDS as TABLES
from limrank_plugins.wording import in_dollars, number_of

if TYPE_CHECKING:
    from limrank_evals.judging.judging_report import JudgedPair, Judging
    from limrank_plugins.data import Query

QueriesFile = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        help=f"{common.QUERIES} Default: queries.jsonl, or such a table, in the corpus's folder.",
        show_default=False,
    ),
]


@reports_errors
def judge(
    runs: Annotated[
        list[Path], typer.Argument(help="Runs (TREC, .jsonl; .gz too), or folders of `limrank eval NAME`.")
    ],
    corpus: common.CorpusOption,
    model: Annotated[
        str,
        typer.Option(help="The judge: folder, hub name, GGUF file or served name, or smollm2."),
    ],
    queries: QueriesFile = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    backend: Annotated[str, typer.Option(help="How to run it: openai, transformers, llama-cpp, vllm.")] = (
        "openai"
    ),
    option: reranking.Options = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    template: Annotated[
        str, typer.Option(help="How it is asked: umbrela, or a .toml file that holds query and document.")
    ] = "umbrela",
    max_tokens: Annotated[int, typer.Option(help="Budget of a reply, reasoning before it included.")] = 1024,
    depth: Annotated[int, typer.Option(help="How many passages of each query and run are judged.")] = 10,
    pairs: Annotated[
        int | None,
        typer.Option(
            help="Judge so many pairs at most: queries are drawn, and those drawn are judged whole.",
            show_default=False,
        ),
    ] = None,
    human: Annotated[
        Path | None,
        typer.Option(help="People's judgements to compare with, as for `eval run`.", show_default=False),
    ] = None,
    human_relevant: Annotated[int, typer.Option(help="People's grade from which on it is relevant.")] = 1,
    relevant: Annotated[int, typer.Option(help="The model's grade from which on it is relevant.")] = 2,
    max_cost: Annotated[
        float | None, typer.Option(help="Dollars for the whole judging.", show_default=False)
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Show prompt, calls and cost; ask nobody.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Its folder; default: judge-MODEL.", show_default=False),
    ] = None,
    fresh: common.Fresh = False,
    level: options.Level = 0.95,
    resamples: options.Resamples = RESAMPLES,
    seed: Annotated[int, typer.Option(help="Of the drawing, the resampling and a server's sampling.")] = 0,
    as_json: common.AsJson = False,
) -> None:
    """Judge the pool of some runs by a model, on UMBRELA's scale from 0 to 3, without people or beside them.

    The judgements are marked as a model's, and every later number says so. What cannot be read is no grade:
    it is counted, and the same command asks again.
    """
    from limrank_evals.comparison import Resampling
    from limrank_evals.judgements import read_judgements
    from limrank_evals.judging.judging_job import JudgeSetup, bill_words, expected_bill, judge_into
    from limrank_evals.judging.judging_report import build_judging, judging_grids
    from limrank_evals.judging.pooling import check_reading, coverage_notes, pooled, read_runs, texts_of
    from limrank_evals.judging.relevance_judge import HIGHEST, judge_prompt, judge_template

    for name, value, least in (("--max-tokens", max_tokens, 1), ("--depth", depth, 1)):
        whole_number(name, value, least=least)
    if pairs is not None:
        whole_number("--pairs", pairs, least=1)
    if max_cost is not None:
        finite_number("--max-cost", max_cost, above=0)
    whole_number("--relevant", relevant, least=1, most=HIGHEST)
    whole_number("--human-relevant", human_relevant, least=1)
    resampling = Resampling(level, resamples, seed)
    chosen = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    setup = JudgeSetup(
        model, backend, template, max_tokens, seed, common.parse_options(option, "--option") | chosen
    )
    source = Corpus(corpus, field, title_field, passages)
    people = None if human is None else read_judgements(human)
    check_reading(runs, source)
    systems, notes = read_runs(runs, depth)
    pool = pooled(systems, depth, pairs=pairs, seed=seed)
    notes += coverage_notes(systems)
    if pool.left_out:
        notes.append(
            f"{number_of(len(pool.pairs), 'query')} were drawn for --pairs {pairs}, "
            f"{number_of(pool.left_out, 'query')} left out"
        )
    if depth < 10:
        notes.append(f"nDCG@10 of a pool of depth {depth} takes what is below for not relevant")
    if people is not None and not any(d in people.get(q, {}) for q, ids in pool.pairs.items() for d in ids):
        raise InputError(
            f"{human} judges no passage of the pool: its queries are like {next(iter(people))!r}, those of "
            f"the runs like {next(iter(pool.pairs))!r}"
        )
    asked_about = texts_of(pool.pairs, queries_of(corpus, queries), source)
    folder = output if output is not None else Path(f"judge-{_file_name(model)}")
    if dry:
        bill = expected_bill(asked_about, setup, folder)
        prompt = judge_prompt(judge_template(template), *asked_about[0]).text
        if as_json:
            common.emit(
                {
                    "pairs": pool.size,
                    "queries": len(pool.pairs),
                    "calls": bill.calls,
                    "cost_at_most": bill.cost,
                    "prompt": prompt,
                    "warnings": notes,
                }
            )
            return
        common.tell(prompt)
        common.say(f"{number_of(pool.size, 'pair')} of {number_of(len(pool.pairs), 'query')}")
        common.say(bill_words(bill, setup))
        return

    def report(judged: Sequence[JudgedPair], asked: Mapping[str, Any]) -> Judging:
        return build_judging(
            judged,
            systems,
            judge={"model": model, "backend": backend, "template": judge_template(template).name},
            asked=asked,
            settings={
                "runs": [system.name for system in systems],
                "corpus": str(source),
                "queries": None if queries is None else str(queries),
                "human": None if human is None else str(human),
                "depth": depth,
                "pairs": pairs,
                "max_tokens": max_tokens,
                "level": level,
                "resamples": resamples,
                "seed": seed,
            },
            human=people,
            relevant=(human_relevant, relevant),
            resampling=resampling,
            notes=notes,
        )

    with common.progress_bars() as progress:
        judging, place = judge_into(
            folder,
            asked_about,
            setup,
            max_cost=max_cost,
            fresh=fresh,
            make_report=report,
            say=common.say,
            progress=progress,
        )
    for warning in judging.warnings:
        common.say(f"note: {warning}")
    if as_json:
        common.emit({**judging.as_json(), "output": str(place)})
    else:
        for grid in judging_grids(judging):
            show_grid(grid)
        cost = "cost not known" if judging.asked["cost"] is None else in_dollars(judging.asked["cost"])
        common.say(f"{number_of(judging.asked['calls'], 'call')}, {cost}; the model's judgements: {place}")
    if (stopped := judging.asked["stopped"]) is not None:
        common.end_with_failures(
            f"it stopped before all was judged: {stopped}; {number_of(len(judging.failures), 'pair')} of "
            f"{len(judging.pairs)} lack a grade. With a greater --max-cost, or when the fault is mended, the "
            f"same command goes on"
        )
    if failures := judging.failures:
        first_failure = f"{failures[0].query!r} with {failures[0].document!r}: {failures[0].failure}"
        common.end_with_failures(
            f"{number_of(len(failures), 'pair')} of {len(judging.pairs)} could not be judged; the first one, "
            f"{first_failure}. The same command asks again for what failed"
        )


def queries_of(corpus: str, queries: Path | None) -> list[Query]:
    """The queries of a file; without one, those that lie in the corpus's folder.

    Raises:
        InputError: there are none.
    """
    from limrank_evals.loaders.repository import repository_file
    from limrank_plugins import samples

    if queries is not None:
        return read_queries(queries)
    if is_samples(corpus):
        return samples.queries()
    if not Path(corpus).is_dir():
        raise InputError(f"which queries? name their file with --queries (the corpus {corpus!r} is a file)")
    try:
        file = repository_file(Path(corpus), *(f"queries{ending}" for ending in TABLES))
    except InputError as error:
        raise InputError(f"which queries? name their file with --queries: {error}") from error
    return read_queries(file)


def _file_name(model: str) -> str:
    from limrank_evals.zoo.collections import file_name

    return file_name(Path(model).name)
