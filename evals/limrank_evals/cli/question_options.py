"""The options that both question commands take, in groups; see `limrank_plugins.cli.grouped`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from limrank_plugins.cli import common
from limrank_plugins.cli.reranking import RerankerOptions

Arguments = Annotated[
    list[str] | None,
    typer.Option(
        help="An argument of that model's backend as key=value, for example "
        "base_url=http://localhost:8000/v1; repeat for more.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ReaderOptions:
    """How the model that answers is run and asked."""

    reader_backend: Annotated[
        str, typer.Option(help="How to run the reader: transformers, vllm, openai.")
    ] = "transformers"
    reader_option: Arguments = None
    reader_template: Annotated[
        str,
        typer.Option(
            help="How it is asked: choices, limrank (the published evaluation's wording), completion (for "
            "base models), or the path of a .toml file."
        ),
    ] = "choices"
    reader_samples: Annotated[int, typer.Option(help="Answers drawn for each question.")] = 1
    max_tokens: Annotated[int, typer.Option(help="Budget of an answer, a thought before it included.")] = 2048
    temperature: Annotated[
        float | None,
        typer.Option(help="Of the reader; default: 0 for one sample, 0.7 for several.", show_default=False),
    ] = None
    top_p: Annotated[float, typer.Option(help="Of the reader's sampling.")] = 1.0


@dataclass(frozen=True)
class SearchOptions:
    """In which conditions the questions are asked, and what is searched how."""

    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus", "-c", help="As for `limrank search`. Without one: closed book.", show_default=False
        ),
    ] = None
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="closed-book, retrieve or rerank; repeat for more. Default: all that can be.",
            show_default=False,
        ),
    ] = None
    retriever: Annotated[
        str, typer.Option(help="First stage: bm25s, rank_bm25, lucene, dense; or several joined by +.")
    ] = "bm25s"
    k: common.Depth = 100
    top_n: Annotated[int, typer.Option(help="How many passages are read.")] = 10
    with_options: Annotated[
        bool, typer.Option("--with-options", help="Search and rerank with the options' texts, too.")
    ] = False
    rewrite: Annotated[
        str | None,
        typer.Option(
            help="Let the reader's model rewrite the question for the search: reasoning, hyde, keywords.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class JudgeOptions:
    """A second opinion on every answer, where a judge is named."""

    judge_model: Annotated[
        str | None,
        typer.Option(help="A model that says of every answer whether it is right.", show_default=False),
    ] = None
    judge_backend: Annotated[str, typer.Option(help="How to run the judge.")] = "openai"
    judge_option: Arguments = None


@dataclass(frozen=True)
class RunOptions:
    """How the evaluation is run and kept."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The evaluation's folder; default: eval-NAME.", show_default=False
        ),
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over what the folder holds.")] = False
    limit: Annotated[
        int | None, typer.Option(help="Only the first so many questions.", show_default=False)
    ] = None
    batch: Annotated[int, typer.Option(help="Answers asked for in lockstep and committed together.")] = 8
    store: Annotated[
        Path | None,
        typer.Option(help="Where models' answers are kept; default: in the folder.", show_default=False),
    ] = None


READING, SEARCHING, JUDGING, RUNNING = ReaderOptions(), SearchOptions(), JudgeOptions(), RunOptions()


@dataclass(frozen=True)
class Wanted:
    """All of them together, with the reader's name."""

    reader: str
    reading: ReaderOptions
    searching: SearchOptions
    reranking: RerankerOptions
    judging: JudgeOptions
    running: RunOptions
