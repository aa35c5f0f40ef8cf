"""`limrank eval gpqa`, `limrank eval questions`: multiple choice closed book, with search, with reranking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from limrank_evals.cli.asking import evaluate
from limrank_evals.cli.question_options import (
    JUDGING,
    READING,
    RUNNING,
    SEARCHING,
    JudgeOptions,
    ReaderOptions,
    RunOptions,
    SearchOptions,
    Wanted,
)
from limrank_evals.loaders.multiple_choice import load_gpqa, load_questions
from limrank_evals.questions.gating import Gate
from limrank_evals.questions.question_evaluation import QuestionsEvaluation
from limrank_evals.questions.question_tables import accuracy_table, difference_table
from limrank_evals.questions.questions_report import report
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.cli.grouped import grouped
from limrank_plugins.cli.reranking import USUAL, RerankerOptions

File = Annotated[Path, typer.Argument(help="The questions.")]
Reader = Annotated[
    str, typer.Option(help="Folder, hub name or served name of an instruction-tuned model that answers.")
]
Domain = Annotated[
    str | None,
    typer.Option(help="The field with a question's domain, for rows of its own.", show_default=False),
]
ShowGated = Annotated[
    bool, typer.Option("--show-gated", help="Show and keep the texts of a gated set all the same.")
]


def register(evaluation: typer.Typer) -> None:
    """Add both commands."""
    evaluation.command("gpqa")(gpqa)
    evaluation.command("questions")(questions)


@reports_errors
@grouped
def gpqa(
    file: File,
    reader: Reader,
    reading: ReaderOptions = READING,
    searching: SearchOptions = SEARCHING,
    reranking: RerankerOptions = USUAL,
    judging: JudgeOptions = JUDGING,
    running: RunOptions = RUNNING,
    domain: Domain = None,
    any_count: Annotated[
        bool, typer.Option("--any-count", help="Another number of questions than 198 will do.")
    ] = False,
    show_gated: ShowGated = False,
    as_json: common.AsJson = False,
) -> None:
    """GPQA diamond (gpqa_diamond.csv) closed book, with passages, with reranked ones; no text is shown."""
    loaded = load_gpqa(file, strict=not any_count, domain=domain)
    gate = _gate(closed=not show_gated)
    wanted = Wanted(reader, reading, searching, reranking, judging, running)
    folder = running.output if running.output is not None else Path("eval-gpqa")
    # Named as its published numbers are.
    _tell(evaluate(wanted, ("GPQA-diamond RAG", "diamond"), loaded, folder, gate), folder, as_json=as_json)


@reports_errors
@grouped
def questions(
    file: File,
    reader: Reader,
    reading: ReaderOptions = READING,
    searching: SearchOptions = SEARCHING,
    reranking: RerankerOptions = USUAL,
    judging: JudgeOptions = JUDGING,
    running: RunOptions = RUNNING,
    domain: Domain = None,
    gated: Annotated[bool, typer.Option("--gated", help="The set's texts must not be shown.")] = False,
    show_gated: ShowGated = False,
    as_json: common.AsJson = False,
) -> None:
    """Any multiple choice (.jsonl, .parquet) closed book, with passages, with reranked ones."""
    loaded = load_questions(file, gated=gated, domain=domain)
    gate = _gate(closed=gated and not show_gated)
    wanted = Wanted(reader, reading, searching, reranking, judging, running)
    folder = running.output if running.output is not None else Path("eval-questions")
    _tell(evaluate(wanted, (file.name.partition(".")[0], ""), loaded, folder, gate), folder, as_json=as_json)


def _gate(*, closed: bool) -> Gate:
    if closed:
        common.say(
            "gated: no text of a question or an answer is shown or kept, and models' answers are not stored; "
            "--show-gated does both"
        )
    return Gate(closed)


def _tell(found: QuestionsEvaluation, folder: Path, *, as_json: bool) -> None:
    for warning in found.warnings:
        common.say(f"note: {warning}")
    if as_json:
        common.emit({**report(found, questions=False), "output": str(folder)})
        return
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 110)  # a table narrower than that would lose its numbers
    grids = [accuracy_table(found), *([difference_table(found)] if found.differences else [])]
    for grid in grids:
        table = Table(*grid.heads, box=None, padding=(0, 1))
        for row in grid.texts():
            table.add_row(*row)
        console.print(table)
    common.say(f"more in {folder / 'report.html'}")
