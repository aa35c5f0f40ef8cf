"""Indexes of corpora by name: built once, kept in the user's cache, opened by memory map."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from limrank_plugins.corpus import Corpus, as_named, corpus_files, corpus_fingerprint, read_corpus
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError, LimRankWarning
from limrank_plugins.files import read_json
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
from limrank_plugins.retrievers.languages import AUTO, DEFAULT, language_named
from limrank_plugins.store import cache_folder, writable_cache
from limrank_plugins.wording import shortened

_REPORTED_EVERY = 500  # documents
_NOTE_LENGTH = 200  # characters of what is said again about a corpus whose index is there

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
) -> Retriever:
    """The index of a corpus: opened if one with the corpus's fingerprint is there, else built and kept.

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

    Raises:
        InputError: there is no such corpus, retriever or language, the corpus is empty, or the cache
            cannot be written.
    """
    language = _checked(retriever, language)

    def opened_or_built(folder: Path | None, *, in_cache: bool) -> Retriever:
        if folder is not None and folder.is_dir():
            try:
                return _opened(folder, retriever, language, in_cache=in_cache)
            except InputError as error:
                warnings.warn(f"{error}; it is built anew", LimRankWarning, stacklevel=3)
        total = _count(corpus)
        if building is not None:
            building(total)
        notes: list[str] = []
        built = _built(corpus, retriever, language, folder, total, progress, notes)
        if in_cache and folder is not None:
            if notes:
                write_json(_notes_file(folder), notes)
            else:
                _notes_file(folder).unlink(missing_ok=True)
        return built

    if folder is not None or is_pipe(as_named(corpus).name):
        return opened_or_built(folder, in_cache=False)
    folder = index_folder(corpus, retriever, language)
    if folder.is_dir():
        with suppress(InputError):
            return _opened(folder, retriever, language, in_cache=True)
    writable_cache()  # said before the work of building
    # One process builds it: to the others, which look again then, it is there.
    with in_turn_at(folder):
        return opened_or_built(folder, in_cache=True)


def _opened(folder: Path, retriever: str, language: str, *, in_cache: bool) -> Retriever:
    opened = open_retriever(folder, **({"language": language} if takes_language(retriever) else {}))
    if in_cache and (kept := _kept_notes(folder)):
        warnings.warn(shortened(kept, _NOTE_LENGTH), LimRankWarning, stacklevel=3)
    return opened


def _built(
    corpus: str | Corpus,
    retriever: str,
    language: str,
    folder: Path | None,
    total: int | None,
    progress: Progress | None,
    notes: list[str],
) -> Retriever:
    """The index, in memory where no folder is named; the notes are added what is said about its files."""
    options: dict[str, Any] = {} if language == DEFAULT else {"language": language}
    if "on_progress" in inspect.signature(retriever_class(retriever).build).parameters:
        options["on_progress"], progress = progress, None
    documents = _documents(corpus, total, progress, notes)
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


def _kept_notes(folder: Path) -> str:
    try:
        return "; ".join(map(str, read_json(_notes_file(folder))))
    except (InputError, OSError, TypeError):  # none, or of no use: the index is what counts
        return ""


def _checked(retriever: str, language: str) -> str:
    named = language if language == AUTO else language_named(language)
    if not takes_language(retriever) and named != DEFAULT:
        raise InputError(
            f"{retriever} has no language to choose, but language is {language!r}: leave it out, or take "
            f"bm25s"
        )
    return named


def _documents(
    corpus: str | Corpus, total: int | None, progress: Progress | None, notes: list[str]
) -> Iterator[Document]:
    def note(sentence: str) -> None:
        notes.append(sentence)
        warnings.warn(sentence, LimRankWarning, stacklevel=3)

    number = 0
    for number, document in enumerate(read_corpus(corpus, note=note), start=1):
        yield document
        if progress is not None and number % _REPORTED_EVERY == 0:
            progress(number, total)
    if not number:
        raise InputError(f"corpus {str(corpus)!r} is empty: it holds no documents")
    if progress is not None:
        progress(number, total)


def _count(corpus: str | Corpus) -> int | None:
    """How many documents there are, where that is seen without reading them as such."""
    files, passages = corpus_files(corpus), as_named(corpus).passages
    if len(files) > 1 or is_pipe(files[0]) or files[0].suffix != ".jsonl" or passages not in (None, WHOLE):
        return None
    try:
        with files[0].open("rb") as stream:
            return sum(1 for line in stream if line.strip())
    except OSError:  # said where it is read
        return None
