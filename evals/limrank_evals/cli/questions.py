"""`limrank eval gpqa`, `limrank eval questions`: multiple choice closed book, with search, with reranking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from limrank_evals.cli import question_options as options
from limrank_evals.cli.question_run import evaluate
from limrank_evals.loaders.multiple_choice import load_gpqa, load_questions
from limrank_evals.questions.gating import Gate
from limrank_evals.questions.question_evaluation import QuestionsEvaluation
from limrank_evals.questions.question_tables import accuracy_table, difference_table
from limrank_evals.questions.questions_report import report
from limrank_plugins.cli import common, reports_errors, reranking


def register(evaluation: typer.Typer) -> None:
    """Add both commands."""
    evaluation.command("gpqa")(gpqa)
    evaluation.command("questions")(questions)


@reports_errors
def gpqa(
    file: options.File,
    reader: options.Reader,
    reader_backend: options.ReaderBackend = "transformers",
    reader_option: options.Arguments = None,
    reader_template: options.ReaderTemplate = "choices",
    reader_samples: options.ReaderSamples = 1,
    max_tokens: options.MaxTokens = 2048,
    temperature: options.Temperature = None,
    top_p: options.TopP = 1.0,
    corpus: options.Corpus = None,
    condition: options.Condition = None,
    retriever: options.Retriever = "bm25s",
    k: common.Depth = 100,
    top_n: options.TopN = 10,
    with_options: options.WithOptions = False,
    rewrite: options.Rewrite = None,
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
    judge_model: options.JudgeModel = None,
    judge_backend: options.JudgeBackend = "openai",
    judge_option: options.Arguments = None,
    output: options.Output = None,
    fresh: options.Fresh = False,
    limit: options.Limit = None,
    batch: options.Batch = 8,
    store: options.StorePath = None,
    domain: options.Domain = None,
    any_count: Annotated[
        bool, typer.Option("--any-count", help="Another number of questions than 198 will do.")
    ] = False,
    show_gated: options.ShowGated = False,
    as_json: common.AsJson = False,
) -> None:
    """GPQA diamond (gpqa_diamond.csv) closed book, with passages, with reranked ones; no text is shown."""
    chosen = options.QuestionOptions(
        options.ReaderOptions(
            reader, reader_backend, reader_option, reader_template, reader_samples, max_tokens, temperature,
            top_p,
        ),
        options.SearchOptions(corpus, condition, retriever, k, top_n, with_options, rewrite),
        reranking.RerankerOptions(
            recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction,
            device, dtype, option, template,
        ),
        options.JudgeOptions(judge_model, judge_backend, judge_option),
        options.RunOptions(output, fresh, limit, batch, store),
    )  # fmt: skip
    loaded = load_gpqa(file, strict=not any_count, domain=domain)
    gate = _gate(closed=not show_gated)
    folder = output if output is not None else Path("eval-gpqa")
    # Named as its published numbers are.
    _show(evaluate(chosen, ("GPQA-diamond RAG", "diamond"), loaded, folder, gate), folder, as_json=as_json)


@reports_errors
def questions(
    file: options.File,
    reader: options.Reader,
    reader_backend: options.ReaderBackend = "transformers",
    reader_option: options.Arguments = None,
    reader_template: options.ReaderTemplate = "choices",
    reader_samples: options.ReaderSamples = 1,
    max_tokens: options.MaxTokens = 2048,
    temperature: options.Temperature = None,
    top_p: options.TopP = 1.0,
    corpus: options.Corpus = None,
    condition: options.Condition = None,
    retriever: options.Retriever = "bm25s",
    k: common.Depth = 100,
    top_n: options.TopN = 10,
    with_options: options.WithOptions = False,
    rewrite: options.Rewrite = None,
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
    judge_model: options.JudgeModel = None,
    judge_backend: options.JudgeBackend = "openai",
    judge_option: options.Arguments = None,
    output: options.Output = None,
    fresh: options.Fresh = False,
    limit: options.Limit = None,
    batch: options.Batch = 8,
    store: options.StorePath = None,
    domain: options.Domain = None,
    gated: Annotated[bool, typer.Option("--gated", help="The set's texts must not be shown.")] = False,
    show_gated: options.ShowGated = False,
    as_json: common.AsJson = False,
) -> None:
    """Any multiple choice (.jsonl, .parquet) closed book, with passages, with reranked ones."""
    chosen = options.QuestionOptions(
        options.ReaderOptions(
            reader, reader_backend, reader_option, reader_template, reader_samples, max_tokens, temperature,
            top_p,
        ),
        options.SearchOptions(corpus, condition, retriever, k, top_n, with_options, rewrite),
        reranking.RerankerOptions(
            recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction,
            device, dtype, option, template,
        ),
        options.JudgeOptions(judge_model, judge_backend, judge_option),
        options.RunOptions(output, fresh, limit, batch, store),
    )  # fmt: skip
    loaded = load_questions(file, gated=gated, domain=domain)
    gate = _gate(closed=gated and not show_gated)
    folder = output if output is not None else Path("eval-questions")
    named = (file.name.partition(".")[0], "")
    _show(evaluate(chosen, named, loaded, folder, gate), folder, as_json=as_json)


def _gate(*, closed: bool) -> Gate:
    if closed:
        common.say(
            "gated: no text of a question or an answer is shown or kept, and models' answers are not stored; "
            "--show-gated does both"
        )
    return Gate(closed)


def _show(found: QuestionsEvaluation, folder: Path, *, as_json: bool) -> None:
    for warning in found.warnings:
        common.say(f"note: {warning}")
    if as_json:
        common.emit({**report(found, questions=False), "output": str(folder)})
    else:
        _show_tables(found, folder)
    if found.failures:
        common.end_with_failures(
            f"{found.failures} answers and searches failed; the numbers are not final: the same command asks "
            f"again for what failed"
        )


def _show_tables(found: QuestionsEvaluation, folder: Path) -> None:
    console = common.Terminal()
    console.width = max(console.width, 110)  # a table narrower than that would lose its numbers
    grids = [accuracy_table(found), *([difference_table(found)] if found.differences else [])]
    for grid in grids:
        table = Table(*grid.heads, box=None, padding=(0, 1))
        for row in grid.texts():
            table.add_row(*row)
        console.print(table)
    common.say(f"more in {folder / 'report.html'}")
