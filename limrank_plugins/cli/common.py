"""What several subcommands share: options, output, bars and key=value pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from limrank_plugins import corpus_index
from limrank_plugins.cli.terminal import Terminal, escaped_json, plain, say, tell
from limrank_plugins.corpus import as_named
from limrank_plugins.corpus_files import Corpus
from limrank_plugins.errors import InputError
from limrank_plugins.folder_reading import Reading
from limrank_plugins.fresh_store import FreshStore
from limrank_plugins.index_folders import is_index
from limrank_plugins.locks import alone_at
from limrank_plugins.outputs import check_output
from limrank_plugins.retrievers import Retriever, retriever_names
from limrank_plugins.retrievers.languages import (
    AUTO,
    DEFAULT,
    language_named,
    language_names,
    without_stemmer,
)
from limrank_plugins.store import Store, default_store_path
from limrank_plugins.wording import number_of

__all__ = [
    "QUERIES", "AsJson", "CorpusName", "CorpusOption", "Depth", "Device", "Dtype", "Field", "FirstStage",
    "Instruction", "Language", "Passages", "StorePath", "Terminal", "TitleField", "TopN", "complete", "emit",
    "kept_as_given", "key_values", "new_folder", "open_index", "open_store", "parse_options", "progress_bars",
    "say", "tell",
]  # fmt: skip


def complete(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for a value that is begun: the names that begin so."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


class CommandLineValue(str):
    """The value of an option that stands on the command line, and is not its default."""

    __slots__ = ()


def kept_as_given(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """Callback of an option: a `CommandLineValue` unless it is the default."""
    source = context.get_parameter_source(parameter.name or "")
    return value if source is None or source.name.startswith("DEFAULT") else CommandLineValue(value)


Instruction = Annotated[
    str | None,
    typer.Option(
        help="A benchmark's instruction by name, or text with {{ query }}; for qwen3-reranker, the task.",
        show_default=False,
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.", show_default=False)]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16, float16.", show_default=False)]
CorpusName = Annotated[
    str,
    typer.Argument(
        help="A file (.jsonl, .json, .csv, .tsv, .parquet, .txt, .md, .html, .pdf, .docx), a folder of such "
        "files or in BEIR's layout, the folder of an index (`limrank index -o`), or: samples."
    ),
]
CorpusOption = Annotated[str, typer.Option("--corpus", "-c", help="As for `limrank search`.")]
QUERIES = "Queries: .jsonl (_id, text), .tsv, .csv, .json, .parquet, or .txt with one a line."
"""How `--help` describes a file of queries."""
Field = Annotated[
    str | None,
    typer.Option(
        "--field",
        help="Field or column of the corpus that holds the text. Default, and in a folder's other tables: "
        "text, contents, content, body or passage.",
        show_default=False,
    ),
]
TitleField = Annotated[
    str | None,
    typer.Option("--title-field", help="The one that holds the title.", show_default="title"),
]
Passages = Annotated[
    str | None,
    typer.Option(
        "--passages",
        help="Split the corpus's long texts at sentence ends into passages of at most '300 words', or "
        "'300 words, overlap 50'; or leave them whole. Default: 180 words for text files, whole for rows.",
        show_default=False,
    ),
]
FirstStage = Annotated[
    str,
    typer.Option(
        "--retriever",
        help=f"First stage: {', '.join(retriever_names())}.",
        autocompletion=complete(retriever_names),
        callback=kept_as_given,
    ),
]
Language = Annotated[
    str,
    typer.Option(
        help="Of the corpus, for stop words and stems: german, de, …; or auto, which looks at a sample.",
        autocompletion=complete(lambda: [AUTO, *language_names()]),
        callback=kept_as_given,
    ),
]
Depth = Annotated[int, typer.Option("--k", help="How many passages the first stage hands on.")]
TopN = Annotated[int | None, typer.Option(help="How many to show or write.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
StorePath = Annotated[
    Path | None,
    typer.Option("--store", help="Where answers and journals are kept.", show_default="the user's cache"),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Begin anew. The result of before stays until the new one is finished; a new one that was not "
        "is gone on with by the same command without --fresh.",
    ),
]
AskAnew = Annotated[
    bool, typer.Option("--fresh", help="Ask everything anew; replies of before are not used, and replaced.")
]


def emit(value: Any) -> None:
    """JSON on stdout."""
    typer.echo(escaped_json(json.dumps(value, ensure_ascii=False, indent=2)))


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yields a function of (stage, finished, all) that draws one bar a stage on stderr."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    console = Terminal(stderr=True)
    # A file or a pipe would get the last state of every bar, as lines among the messages.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(stage: str, finished: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(plain(stage), total=total)
            bars.update(tasks[stage], completed=finished, total=total)

        yield draw


def open_store(path: Path | None, *, fresh: bool = False) -> Store:
    """The store named, or the user's; with `fresh` nothing is found that was there before."""
    kind = FreshStore if fresh else Store
    return kind(path if path is not None else default_store_path())


def end_with_failures(message: str) -> NoReturn:
    """Say what failed and what to do, and end with the exit code of a failure.

    For what was shown and written all the same: nothing that failed may look finished.
    """
    say(f"limrank: {message}")
    raise typer.Exit(1)


def open_index(
    corpus: str | Corpus,
    retriever: str,
    *,
    language: str = DEFAULT,
    folder: Path | None = None,
    whole_notes: bool = False,
    noted: Callable[[Reading], None] | None = None,
) -> Retriever:
    """The index of a corpus, as `limrank_plugins.corpus_index.open_index`.

    Says on stderr what is indexed and how far it is, and which language was found or has no stemmer. A saved
    index must be of the first stage and in the language that stand on the command line, if they do.
    """
    if folder is None and is_index(as_named(corpus).name):
        index = corpus_index.open_saved(
            corpus, *(name if isinstance(name, CommandLineValue) else None for name in (retriever, language))
        )
        if language == AUTO:
            say(f"the index is in {getattr(index, 'language', DEFAULT)}")
        return index

    def building(documents: int | None) -> None:
        what = "documents" if documents is None else number_of(documents, "document")
        say(f"indexing {what} with {retriever}")
        if language != AUTO and (missing := without_stemmer(language_named(language))):
            say(missing)

    with progress_bars() as show:
        index = corpus_index.open_index(
            corpus,
            retriever,
            language=language,
            folder=folder,
            building=building,
            progress=partial(show, "indexing"),
            whole_notes=whole_notes,
            noted=noted,
        )
    if language == AUTO:
        known: str = getattr(index, "language", DEFAULT)
        say("; ".join(filter(None, (f"the corpus is in {known}", without_stemmer(known)))))
    return index


@contextmanager
def new_folder(output: Path) -> Iterator[None]:
    """Hold the name of a folder that the block makes.

    Raises:
        InputError: it is there already, could not be written, or another process is making it.
    """
    check_output(output, folder=True)
    with alone_at(output):
        if output.exists():
            raise InputError(f"{output} is there already: remove it, or choose another folder")
        yield


def refuse_options_before(context: typer.Context) -> None:
    """Check that nothing was given to a command whose subcommand is called, and would not see it.

    Raises:
        InputError: an option was; it is named.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            inner = context.invoked_subcommand
            raise InputError(
                f"options of {context.info_name} {inner} are written behind {inner}, but got "
                f"{parameter.opts[-1]} before it"
            )


def key_values(pairs: list[str] | None, flag: str) -> Iterator[tuple[str, str]]:
    """The keys and values of options written as `key=value`.

    Raises:
        InputError: one without `=` or without a key; `flag` is named.
    """
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"{flag} must be written key=value, but got {pair!r}")
        yield key, value


def parse_options(pairs: list[str] | None, flag: str) -> dict[str, Any]:
    """Options written as `key=value`; a value that is JSON (a number, true, null) is that, else it is text.

    Raises:
        InputError: as for `key_values`.
    """
    options: dict[str, Any] = {}
    for key, value in key_values(pairs, flag):
        try:
            options[key] = json.loads(value)
        except (ValueError, RecursionError):
            options[key] = value
    return options
