"""`limrank eval gpqa`, `limrank eval questions`: multiple choice closed book, with search, with reranking.

Both are one function with one list of options; each has one option that the other lacks.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from limrank_evals.cli.printing import show_grid
from limrank_evals.loaders.multiple_choice import load_gpqa, load_questions
from limrank_evals.questions.answer_judge import Judge
from limrank_evals.questions.choice_reader import ChoiceReader
from limrank_evals.questions.conditions import CLOSED_BOOK, RERANK, chosen_conditions
from limrank_evals.questions.gating import Gate
from limrank_evals.questions.question_evaluation import QuestionsEvaluation
from limrank_evals.questions.question_job import CorpusSearch, evaluate_questions
from limrank_evals.questions.question_tables import accuracy_table, difference_table
from limrank_evals.questions.questions_report import report
from limrank_pipelines import RagPipeline, Rewriter
from limrank_pipelines.ask_command import ReaderBackend, Rewrite, first_stage
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.corpus import Corpus
from limrank_plugins.errors import InputError
from limrank_plugins.index_folders import is_index
from limrank_plugins.retrievers.folder import kind_of
from limrank_plugins.retrievers.languages import DEFAULT
from limrank_plugins.wording import number_of

GPQA, QUESTIONS = "gpqa", "questions"
_HELP = {
    GPQA: "GPQA diamond (gpqa_diamond.csv) closed book, with passages, with reranked ones; no text is shown.",
    QUESTIONS: "Any multiple choice (.jsonl, .parquet) closed book, with passages, with reranked ones.",
}
_LACKS = {GPQA: "gated", QUESTIONS: "any_count"}
_Arguments = Annotated[
    list[str] | None,
    typer.Option(
        help="An argument of that model's backend as key=value, for example "
        "base_url=http://localhost:8000/v1; repeat for more.",
        show_default=False,
    ),
]


class QuestionCommand(TyperCommand):
    """The command of this name, without the option that only the other one has."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.params = [parameter for parameter in self.params if parameter.name != _LACKS[name or ""]]


def register(evaluation: typer.Typer) -> None:
    """Add both commands."""
    for name, about in _HELP.items():
        evaluation.command(name, cls=QuestionCommand, help=about)(ask)


@reports_errors
def ask(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The questions.")],
    reader: Annotated[
        str,
        typer.Option(help="Folder, hub name or served name of an instruction-tuned model that answers."),
    ],
    reader_backend: ReaderBackend = "transformers",
    reader_option: _Arguments = None,
    reader_template: Annotated[
        str,
        typer.Option(
            help="How it is asked: choices, limrank (the published evaluation's template), completion (for "
            "base models), or the path of a .toml file."
        ),
    ] = "choices",
    reader_samples: Annotated[int, typer.Option(help="Answers drawn for each question.")] = 1,
    max_tokens: Annotated[
        int, typer.Option(help="Budget of an answer, the reasoning before it included.")
    ] = 2048,
    temperature: Annotated[
        float | None,
        typer.Option(help="Of the reader; default: 0 for one sample, 0.7 for several.", show_default=False),
    ] = None,
    top_p: Annotated[float, typer.Option(help="Of the reader's sampling.")] = 1.0,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus", "-c", help="As for `limrank search`. Without one: closed book.", show_default=False
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="closed-book, retrieve or rerank; repeat for more. Default: all that can be.",
            show_default=False,
        ),
    ] = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    retriever: Annotated[
        str,
        typer.Option(
            help="First stage: bm25s, rank_bm25, lucene, dense; or several joined by +.",
            callback=common.kept_as_given,
        ),
    ] = "bm25s",
    language: common.Language = "english",
    k: common.Depth = 100,
    top_n: Annotated[int, typer.Option(help="How many passages are read.")] = 10,
    with_options: Annotated[
        bool, typer.Option("--with-options", help="Search and rerank with the options' texts, too.")
    ] = False,
    rewrite: Rewrite = None,
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
    judge_model: Annotated[
        str | None,
        typer.Option(help="A model that says of every answer whether it is right.", show_default=False),
    ] = None,
    judge_backend: Annotated[str, typer.Option(help="How to run the judge.")] = "openai",
    judge_option: _Arguments = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The evaluation's folder; default: eval-NAME.", show_default=False
        ),
    ] = None,
    fresh: common.Fresh = False,
    limit: Annotated[
        int | None, typer.Option(help="Only the first so many questions.", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option(help="Answers asked for in lockstep and committed together.")] = 8,
    store: Annotated[
        Path | None,
        typer.Option(help="Where models' answers are kept; default: in the folder.", show_default=False),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(help="The field with a question's domain, for rows of its own.", show_default=False),
    ] = None,
    any_count: Annotated[
        bool, typer.Option("--any-count", help="Another number of questions than 198 will do.")
    ] = False,
    gated: Annotated[bool, typer.Option("--gated", help="The set's texts must not be shown.")] = False,
    show_gated: Annotated[
        bool, typer.Option("--show-gated", help="Show and keep the texts of a gated set all the same.")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Ask the questions as wanted, and write the evaluation's folder."""
    name = ctx.info_name or ""
    if name == GPQA:  # named as its published numbers are
        questions, named = (
            load_gpqa(file, strict=not any_count, domain=domain),
            ("GPQA-diamond RAG", "diamond"),
        )
    else:
        questions = load_questions(file, gated=gated, domain=domain)
        named = (file.name.partition(".")[0], "")
    if limit is not None:
        whole_number("--limit", limit, least=1)
    whole_number("--batch", batch, least=1)
    gate = _gate(closed=(gated or name == GPQA) and not show_gated)
    conditions = chosen_conditions(condition or [], corpus=corpus is not None)
    index = None
    source = None if corpus is None else Corpus(corpus, field, title_field, passages)
    if source is not None and any(name != CLOSED_BOOK for name in conditions):
        index = first_stage(source, retriever, language)
    elif rewrite is not None:
        raise InputError("--rewrite is for a search, and no condition here searches: name a --corpus")
    if judge_option and judge_model is None:
        raise InputError("--judge-option needs a judge: name one with --judge-model")
    folder = output if output is not None else Path(f"eval-{name}")
    with ExitStack() as held:
        answering = ChoiceReader(
            reader,
            reader_backend,
            template=reader_template,
            samples=reader_samples,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            **common.parse_options(reader_option, "--reader-option"),
        )
        held.callback(answering.close)
        judge = search = None
        if judge_model is not None:
            arguments = common.parse_options(judge_option, "--judge-option")
            judge = Judge(judge_model, judge_backend, **arguments)
            held.callback(judge.close)
        if index is not None and source is not None:
            options = reranking.RerankerOptions(
                recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction,
                device, dtype, option, template, chunks=chunks,
            )  # fmt: skip
            pipeline = RagPipeline(
                index,
                rewriter=None if rewrite is None else Rewriter(rewrite, backend=answering.backend, seed=seed),
                reranker=options.reranker(None) if RERANK in conditions else None,
                k=k,
                top_n=top_n,
            )
            held.callback(pipeline.close)
            searcher = kind_of(source.name) if is_index(source.name) else str(retriever)
            searcher = searcher if language == DEFAULT else f"{searcher} ({language})"
            search = CorpusSearch(source, searcher, pipeline, with_options, rewrite or "")
        evaluation, place = evaluate_questions(
            named,
            questions[:limit],
            conditions,
            answering,
            folder,
            gate=gate,
            search=search,
            judge=judge,
            seed=seed,
            batch=batch,
            store=store,
            fresh=fresh,
            say=common.say,
            progress=held.enter_context(common.progress_bars()),
        )
    _show(evaluation, place, as_json=as_json)


def _gate(*, closed: bool) -> Gate:
    if closed:
        common.say(
            "gated: no text of a question or an answer is shown or kept, and models' answers are not stored; "
            "--show-gated does both"
        )
    return Gate(closed)


def _show(evaluation: QuestionsEvaluation, folder: Path, *, as_json: bool) -> None:
    for warning in evaluation.warnings:
        common.say(f"note: {warning}")
    if as_json:
        common.emit({**report(evaluation, questions=False), "output": str(folder)})
    else:
        show_grid(accuracy_table(evaluation))
        if evaluation.differences:
            show_grid(difference_table(evaluation))
        common.say(f"more in {folder / 'report.html'}")
    if evaluation.failures:
        common.end_with_failures(
            f"{number_of(evaluation.failures, 'answer or search', 'answers and searches')} failed; the "
            f"numbers are not final: the same command asks again for what failed"
        )
