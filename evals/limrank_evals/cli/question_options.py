"""The options that both question commands take, and what they were set to, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from limrank_plugins.cli.reranking import RerankerOptions

Arguments = Annotated[
    list[str] | None,
    typer.Option(
        help="An argument of that model's backend as key=value, for example "
        "base_url=http://localhost:8000/v1; repeat for more.",
        show_default=False,
    ),
]
File = Annotated[Path, typer.Argument(help="The questions.")]
Reader = Annotated[
    str, typer.Option(help="Folder, hub name or served name of an instruction-tuned model that answers.")
]
ReaderBackend = Annotated[str, typer.Option(help="How to run the reader: transformers, vllm, openai.")]
ReaderTemplate = Annotated[
    str,
    typer.Option(
        help="How it is asked: choices, limrank (the published evaluation's template), completion (for "
        "base models), or the path of a .toml file."
    ),
]
ReaderSamples = Annotated[int, typer.Option(help="Answers drawn for each question.")]
MaxTokens = Annotated[int, typer.Option(help="Budget of an answer, the reasoning before it included.")]
Temperature = Annotated[
    float | None,
    typer.Option(help="Of the reader; default: 0 for one sample, 0.7 for several.", show_default=False),
]
TopP = Annotated[float, typer.Option(help="Of the reader's sampling.")]
Corpus = Annotated[
    str | None,
    typer.Option(
        "--corpus", "-c", help="As for `limrank search`. Without one: closed book.", show_default=False
    ),
]
Condition = Annotated[
    list[str] | None,
    typer.Option(
        help="closed-book, retrieve or rerank; repeat for more. Default: all that can be.",
        show_default=False,
    ),
]
Retriever = Annotated[
    str, typer.Option(help="First stage: bm25s, rank_bm25, lucene, dense; or several joined by +.")
]
TopN = Annotated[int, typer.Option(help="How many passages are read.")]
WithOptions = Annotated[
    bool, typer.Option("--with-options", help="Search and rerank with the options' texts, too.")
]
Rewrite = Annotated[
    str | None,
    typer.Option(
        help="Let the reader's model rewrite the question for the search: reasoning, hyde, keywords.",
        show_default=False,
    ),
]
JudgeModel = Annotated[
    str | None,
    typer.Option(help="A model that says of every answer whether it is right.", show_default=False),
]
JudgeBackend = Annotated[str, typer.Option(help="How to run the judge.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The evaluation's folder; default: eval-NAME.", show_default=False),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over what the folder holds.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many questions.", show_default=False)]
Batch = Annotated[int, typer.Option(help="Answers asked for in lockstep and committed together.")]
StorePath = Annotated[
    Path | None,
    typer.Option(help="Where models' answers are kept; default: in the folder.", show_default=False),
]
Domain = Annotated[
    str | None,
    typer.Option(help="The field with a question's domain, for rows of its own.", show_default=False),
]
ShowGated = Annotated[
    bool, typer.Option("--show-gated", help="Show and keep the texts of a gated set all the same.")
]


@dataclass(frozen=True)
class ReaderOptions:
    """How the model that answers is run and asked."""

    reader: str
    reader_backend: str
    reader_option: list[str] | None
    reader_template: str
    reader_samples: int
    max_tokens: int
    temperature: float | None
    top_p: float


@dataclass(frozen=True)
class SearchOptions:
    """In which conditions the questions are asked, and what is searched how."""

    corpus: str | None
    condition: list[str] | None
    retriever: str
    k: int
    top_n: int
    with_options: bool
    rewrite: str | None


@dataclass(frozen=True)
class JudgeOptions:
    """A second opinion on every answer, where a judge is named."""

    judge_model: str | None
    judge_backend: str
    judge_option: list[str] | None


@dataclass(frozen=True)
class RunOptions:
    """How the evaluation is run and kept."""

    output: Path | None
    fresh: bool
    limit: int | None
    batch: int
    store: Path | None


@dataclass(frozen=True)
class QuestionOptions:
    """All of them together."""

    reading: ReaderOptions
    searching: SearchOptions
    reranking: RerankerOptions
    judging: JudgeOptions
    running: RunOptions
