"""Corpora by name, and their documents; fingerprints: `corpus_fingerprints`, indexes: `corpus_index`.

A corpus is a file of rows or of running text, a folder of such files, a folder in BEIR's layout, or the word
`samples`; see `corpus_files.py`. How its files are read is said by a `Corpus`, which may stand for its name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limrank_plugins.corpus_files import (
    USUAL_PASSAGES,
    Corpus,
    CorpusFiles,
    as_named,
    files_of,
    is_samples,
    text_fields,
    title_fields,
)
from limrank_plugins.corpus_fingerprints import corpus_fingerprint
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError, LimRankWarning, MissingExtra
from limrank_plugins.fields import popped
from limrank_plugins.folder_reading import Reading
from limrank_plugins.index_folders import indexed_documents, is_index
from limrank_plugins.io import read_documents, read_run
from limrank_plugins.pieces import WHOLE, PassageRule, has_splitter, passages
from limrank_plugins.rows import LeftOut, NoTextField, refused
from limrank_plugins.tables import table_kind, table_rows
from limrank_plugins.text_files import read_text_file, text_kind
from limrank_plugins.wording import number_of
from limrank_plugins.words import words_of

__all__ = [
    "Corpus", "all_documents", "as_named", "corpus_files", "corpus_fingerprint", "is_samples", "read_corpus",
    "run_candidates", "whole_where_named",
]  # fmt: skip


def corpus_files(corpus: str | Corpus) -> list[Path]:
    """The files a corpus is made of, but those of a folder that cannot be read.

    Raises:
        InputError: there is no such corpus.
    """
    return list(files_of(as_named(corpus), Reading()).paths)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, LimRankWarning, stacklevel=3)


def read_corpus(
    corpus: str | Corpus, *, note: Callable[[str], None] = _warn, reading: Reading | None = None
) -> Iterator[Document]:
    """The documents of a corpus: rows of tables, and files of running text by their passages.

    The id of a text is its file's path in the folder; of one that is split, `#` and a number from 1 follow.
    Its `meta` holds `file` and, of a PDF, the `page` on which a passage begins. Where two tables of a folder
    hold the same id, the second one's file stands before it.

    A file of a folder that cannot be read does not stop the others, nor does a row of a table: at the end a
    `LimRankWarning` says which were not read, how many rows were left out, and why. What is wrong with a file
    that is named itself is an error. Of a saved index, the documents are those that were indexed.

    Args:
        corpus: its name, or how it is read.
        note: gets what there is to say about the reading; default: a `LimRankWarning` for each sentence.
        reading: gets what was not read, for whoever keeps it.

    Raises:
        InputError: there is no such corpus, nothing of it can be read, or something is wrong with a row.
        MissingExtra: the file needs a package that is not installed.
    """
    named, reading = as_named(corpus), Reading() if reading is None else reading
    files = files_of(named, reading)
    if is_index(named.name):
        yield from indexed_documents(named.name)
        return
    ids: set[str | None] = set()
    total, has_field = 0, False
    for file in files.paths:
        name, count, rows = files.name_of(file), 0, _Rows(LeftOut() if files.is_folder else None)
        documents = _documents_of(named, files, file, reading, rows)
        reason = likely = ""
        try:
            for document in documents:
                if files.is_folder and table_kind(file):
                    if document.id in ids:
                        document = replace(document, id=f"{name}#{document.id}")
                    ids.add(document.id)
                count, total = count + 1, total + 1
                yield document
        except (InputError, MissingExtra) as error:
            if not files.is_folder:
                raise
            reason, likely = str(error), error.likely if isinstance(error, NoTextField) else ""
            if count:
                reason += (
                    f" (what stands before it was read: {number_of(count, 'document')}; what follows is lost)"
                )
        left_out = rows.left_out
        if left_out is not None and left_out.count and (rows.used or reason):
            reading.leave_out(name, left_out, rows.used + left_out.count, _named(left_out.first, file, name))
        elif left_out is not None and left_out.count:
            reason, likely = left_out.first, left_out.likely
            if left_out.count > 1:
                reason += f" (and none of its {left_out.count:,} rows can be used)"
        if reason:
            reading.skip(name, _named(reason, file, name), likely)
        else:
            reading.read += 1
        if named.field is not None and files.is_folder and not has_field:
            has_field = _has_field(file, named.field)
    if named.field is not None and files.is_folder and not has_field:
        reading.without_field = named.field
    said = reading.sentences(named.name)
    if files.is_folder and not total and said:
        raise InputError(f"nothing of corpus {named.name!r} could be read: {'; '.join(said)}")
    for sentence in said:
        note(sentence)


@dataclass(slots=True)
class _Rows:
    """How many rows of a table are used, and which are left out; None: each must be right."""

    left_out: LeftOut | None
    used: int = 0


def _named(reason: str, file: Path, name: str) -> str:
    """Why a file or a row is not read, with the file's name in the folder."""
    return reason.replace(str(file), name)


def whole_where_named(corpus: Corpus, ids: Container[str]) -> Corpus:
    """The corpus with its texts whole where ids name files that would be split, and not their passages.

    That is how people judge files. Where it is said how texts are split, that holds.

    Raises:
        InputError: there is no such corpus.
    """
    if corpus.passages is not None or is_index(corpus.name):
        return corpus
    files = files_of(corpus, Reading())
    for file in files.paths:
        name = files.name_of(file)
        if text_kind(file) and name in ids:
            try:
                first = next(_documents_of(corpus, files, file, Reading(), _Rows(None)))
            except (InputError, MissingExtra):
                continue  # said where the corpus is read
            if first.id != name:
                return replace(corpus, passages=WHOLE)
    return corpus


def _documents_of(
    corpus: Corpus, files: CorpusFiles, file: Path, reading: Reading, rows: _Rows
) -> Iterator[Document]:
    """The documents of one file, split."""
    rule, name = corpus.rule_for(file), files.name_of(file)
    if not text_kind(file):
        field, title_field = text_fields(corpus, files), title_fields(corpus, files)
        unusable = refused if rows.left_out is None else rows.left_out
        for document in read_documents(
            file, field=field, title_field=title_field, name=name, unusable=unusable
        ):
            rows.used += 1
            yield from [document] if document.images else _split(document, rule)
        return
    content = read_text_file(file)
    if content.encoding:
        reading.guessed[name] = content.encoding
    if corpus.passages is None and not has_splitter():
        reading.most_words = USUAL_PASSAGES.words or 0
        reading.unsplit += words_of(content.text) > reading.most_words
    document = Document(text=content.text, id=name, title=content.title, meta={"file": name})
    yield from _split(document, rule, content.page_at)


def _has_field(file: Path, field: str) -> bool:
    """Whether the first row of a table that can be read has a field."""
    if not table_kind(file):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LimRankWarning)  # of its encoding: said where it is read
        try:
            row = next(table_rows(file, [field.lower()], unusable=LeftOut()), None)
        except (InputError, MissingExtra):
            return False
    return row is not None and popped(row.values, field) is not None


def _split(
    document: Document, rule: PassageRule, page_at: Callable[[int], int | None] = lambda place: None
) -> Iterator[Document]:
    """The passages of a document, each a document of its own; a short one is itself."""
    spans = passages(document.text, rule)
    if len(spans) < 2:
        yield document
        return
    for number, (start, end) in enumerate(spans, start=1):
        page = page_at(start)
        yield replace(
            document,
            text=document.text[start:end],
            id=f"{document.id}#{number}",
            meta=document.meta if page is None else {**document.meta, "page": page},
        )


def all_documents(corpus: str | Corpus) -> list[Document]:
    """The documents of a corpus in memory.

    Raises:
        InputError: as for `read_corpus`, or it is empty.
    """
    documents = list(read_corpus(corpus))
    if not documents:
        raise InputError(f"corpus {str(corpus)!r} is empty: it holds no documents")
    return documents


def run_candidates(
    run: Path, queries: Sequence[Query], corpus: str | Corpus, depth: int
) -> list[list[Document]]:
    """The first `depth` documents of every query in a first stage's run, with their scores as priors.

    Texts are read as `whole_where_named` has them.

    Raises:
        InputError: the run names a query or a document that is not there.
    """
    candidates = {query: rows[:depth] for query, rows in read_run(run).items()}
    known = {query.id for query in queries}
    check_known(run, "queries", [query for query in candidates if query not in known], "the file of queries")
    wanted = {row.document_id for rows in candidates.values() for row in rows}
    source = whole_where_named(as_named(corpus), wanted)
    texts = {document.id: document for document in read_corpus(source) if document.id in wanted}
    check_known(run, "documents", sorted(wanted - texts.keys()), "the corpus")
    return [
        [replace(texts[row.document_id], prior=row.score) for row in candidates.get(query.id, [])]
        for query in queries
    ]


def check_known(run: str | Path, what: str, strangers: Sequence[str], where: str) -> None:
    """Raise an `InputError` for what a run names and nobody knows.

    Args:
        run: or whatever names it.
        what: it is, in the plural.
        strangers: the identifiers that are not known.
        where: they should be.
    """
    if strangers:
        shown = ", ".join(strangers[:5]) + (", …" if len(strangers) > 5 else "")
        raise InputError(f"{run} names {len(strangers)} {what} that {where} does not hold: {shown}")
