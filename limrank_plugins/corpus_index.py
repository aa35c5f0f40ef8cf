"""Indexes of corpora by name: built once, kept in the user's cache, opened by memory map."""

from __future__ import annotations

import inspect
import shlex
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from limrank_plugins.corpus import Corpus, as_named, corpus_fingerprint, read_corpus
from limrank_plugins.corpus_files import check_as_indexed, files_of
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError, LimRankWarning
from limrank_plugins.files import read_json
from limrank_plugins.folder_reading import Reading
from limrank_plugins.index_folders import is_index
from limrank_plugins.locks import in_turn_at
from limrank_plugins.outputs import write_json
from limrank_plugins.pieces import WHOLE
from limrank_plugins.pipes import is_pipe
from limrank_plugins.retrievers import (
    Retriever,
    build_retriever,
    build_saved,
    open_retriever,
    retriever_class,
    takes_language,
)
from limrank_plugins.retrievers.folder import kind_of
from limrank_plugins.retrievers.languages import AUTO, DEFAULT, language_named
from limrank_plugins.store import cache_folder, writable_cache

_REPORTED_EVERY = 500  # documents
_USUAL = "bm25s"  # the first stage unless another is named

Progress = Callable[[int, int | None], None]
"""Called with how many documents are indexed, of how many; None where nobody knows."""


def open_index(
    corpus: str | Corpus,
    retriever: str,
    *,
    language: str = DEFAULT,
    folder: Path | None = None,
    building: Callable[[int | None], None] | None = None,
    progress: Progress | None = None,
    whole_notes: bool = False,
    noted: Callable[[Reading], None] | None = None,
) -> Retriever:
    """The index of a corpus: opened if one with the corpus's fingerprint is there, else built and kept.

    A corpus that is the folder of a saved index is opened as `open_saved` does; in no language but English,
    which stands for any here.

    One that is damaged is built anew, with a warning; one that another process is building is waited for,
    with a warning. A pipe is read once: unless a folder is named, its
    index is not kept.

    Args:
        corpus: its name, or how it is read.
        retriever: the name of a first stage.
        language: of its words; `auto`: the corpus's own. Only for first stages that find words.
        folder: where the index is kept; default: in the user's cache.
        building: called before an index is built, with the number of documents, or None.
        progress: called while it is built.
        whole_notes: say all about files that were not read, also where the index is there already; else what
            matters, and which command says all.
        noted: gets what was not read of the corpus, now or when its index was built.

    Raises:
        InputError: there is no such corpus, retriever or language, the corpus is empty, or the cache
            cannot be written.
    """
    if is_index(as_named(corpus).name):
        if folder is not None:
            raise InputError(f"{as_named(corpus).name!r} is an index already: `limrank search` searches it")
        return open_saved(corpus, retriever, None if language == DEFAULT else language)
    language = _checked(retriever, language)
    reading = Reading()

    def opened_or_built(folder: Path | None, *, in_cache: bool) -> Retriever:
        if folder is not None and folder.is_dir():
            try:
                return there(folder, in_cache=in_cache)
            except InputError as error:
                warnings.warn(f"{error}; it is built anew", LimRankWarning, stacklevel=3)
        total = _count(corpus)
        if building is not None:
            building(total)
        built = _built(corpus, retriever, language, folder, total, progress, reading)
        if in_cache and folder is not None:
            if reading.sentences(""):
                write_json(_notes_file(folder), reading.as_json())
            else:
                _notes_file(folder).unlink(missing_ok=True)
        if noted is not None:
            noted(reading)
        return built

    def there(folder: Path, *, in_cache: bool) -> Retriever:
        opened = open_retriever(folder, **({"language": language} if takes_language(retriever) else {}))
        kept = _kept_notes(folder) if in_cache else Reading()
        named = as_named(corpus)
        brief = kept.brief(named.name, index_command(named, retriever, language))
        for sentence in kept.sentences(named.name) if whole_notes else filter(None, [brief]):
            warnings.warn(sentence, LimRankWarning, stacklevel=4)
        if noted is not None:
            noted(kept)
        return opened

    if folder is not None or is_pipe(as_named(corpus).name):
        return opened_or_built(folder, in_cache=False)
    folder = index_folder(corpus, retriever, language)
    if folder.is_dir():
        with suppress(InputError):
            return there(folder, in_cache=True)
    writable_cache()  # said before the work of building
    # One process builds it: to the others, which look again then, it is there.
    with in_turn_at(folder):
        return opened_or_built(folder, in_cache=True)


def open_saved(corpus: str | Corpus, retriever: str | None = None, language: str | None = None) -> Retriever:
    """A corpus that is the folder of a saved index, opened by memory map as what it is.

    Args:
        corpus: the folder.
        retriever: what it must be an index of; default: anything.
        language: what its words must be of; default, and `auto`: any.

    Raises:
        InputError: it is another first stage's, in another language or damaged, or it is said how its texts
            are to be read.
    """
    named = as_named(corpus)
    check_as_indexed(named)
    folder = Path(named.name).expanduser()
    kind = kind_of(folder)
    if retriever not in (None, kind):
        raise InputError(
            f"{named.name!r} is an index of {kind}, but the retriever is {retriever!r}: leave that out, or "
            f"index the texts with it (limrank index TEXTS --retriever {retriever})"
        )
    wanted = None if language is None else _checked(kind, language)
    return open_retriever(folder, **({"language": wanted} if takes_language(kind) else {}))


def index_command(corpus: Corpus, retriever: str, language: str = DEFAULT) -> str:
    """The command that says all about an index of a corpus in the cache."""
    options = {
        "--field": corpus.field,
        "--title-field": corpus.title_field,
        "--passages": corpus.passages,
        "--retriever": None if retriever == _USUAL else retriever,
        "--language": None if language == DEFAULT else language,
    }
    words = [word for option, value in options.items() if value is not None for word in (option, value)]
    return shlex.join(["limrank", "index", corpus.name, *words])


def _built(
    corpus: str | Corpus,
    retriever: str,
    language: str,
    folder: Path | None,
    total: int | None,
    progress: Progress | None,
    reading: Reading,
) -> Retriever:
    """The index, in memory where no folder is named; `reading` gets what is said about the corpus's files."""
    options: dict[str, Any] = {} if language == DEFAULT else {"language": language}
    if "on_progress" in inspect.signature(retriever_class(retriever).build).parameters:
        options["on_progress"], progress = progress, None
    documents = _documents(corpus, total, progress, reading)
    if folder is None:
        return build_retriever(retriever, documents, **options)
    return build_saved(retriever, documents, folder, **options)


def index_folder(corpus: str | Corpus, retriever: str, language: str = DEFAULT) -> Path:
    """Where the index of a corpus is kept."""
    language = _checked(retriever, language)
    name = f"{retriever}-{corpus_fingerprint(corpus)}"
    return cache_folder() / "indexes" / (name if language == DEFAULT else f"{name}-{language}")


def _notes_file(folder: Path) -> Path:
    """Beside the index of a corpus: what was said about its files when they were read."""
    return folder.with_name(f"{folder.name}.notes.json")


def _kept_notes(folder: Path) -> Reading:
    try:
        return Reading.from_json(read_json(_notes_file(folder)))
    except (InputError, OSError):  # none, or of no use: the index is what counts
        return Reading()


def _checked(retriever: str, language: str) -> str:
    named = language if language == AUTO else language_named(language)
    if not takes_language(retriever) and named != DEFAULT:
        raise InputError(
            f"{retriever} has no language to choose, but language is {language!r}: leave it out, or take "
            f"bm25s"
        )
    return named


def _documents(
    corpus: str | Corpus, total: int | None, progress: Progress | None, reading: Reading
) -> Iterator[Document]:
    number = 0
    for number, document in enumerate(read_corpus(corpus, reading=reading), start=1):
        yield document
        if progress is not None and number % _REPORTED_EVERY == 0:
            progress(number, total)
    if not number:
        raise InputError(f"corpus {str(corpus)!r} is empty: it holds no documents")
    if progress is not None:
        progress(number, total)


def _count(corpus: str | Corpus) -> int | None:
    """How many documents there are, where that is seen without reading them as such."""
    files, passages = files_of(as_named(corpus), Reading()), as_named(corpus).passages
    file = files.paths[0]
    # In a folder, lines may be left out.
    if files.is_folder or is_pipe(file) or file.suffix != ".jsonl" or passages not in (None, WHOLE):
        return None
    try:
        with file.open("rb") as stream:
            return sum(1 for line in stream if line.strip())
    except OSError:  # said where it is read
        return None
