"""Corpora by name: their files, their documents and their fingerprints; indexes: `corpus_index`.

A corpus is a JSONL file, a folder in BEIR's layout, a folder of texts, or the word `samples`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines
from limrank_plugins.images import image_files
from limrank_plugins.io import read_documents, read_run
from limrank_plugins.pipes import is_pipe, refuse_address, regular_file


def is_samples(name: str) -> bool:
    """Whether a name is the word `samples`, and no file or folder in the working directory has that name."""
    return name == "samples" and not Path(name).exists()


def corpus_files(corpus: str) -> list[Path]:
    """The files a corpus is made of: a JSONL file or pipe, a folder in BEIR's layout, or a folder of texts.

    `samples` is the collection that comes with the package, unless a file or folder here has that name.

    Raises:
        InputError: there is none.
    """
    path = Path(corpus).expanduser()
    if is_samples(corpus):
        from limrank_plugins import samples

        return [samples.corpus_path()]
    if path.is_file() or is_pipe(path):
        return [path]
    refuse_address(corpus, "the corpus")
    if not path.is_dir():
        raise InputError(
            f"there is no corpus {corpus!r}: give a .jsonl file (_id, title, text) or a pipe of such lines, "
            f"a folder that holds corpus.jsonl, a folder of .txt or .md files, or the word samples"
        )
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if (path / name).is_file():
            return [path / name]
    texts = sorted(p for p in path.rglob("*") if _is_text(p) and p.is_file())
    if not texts:
        raise InputError(f"folder {corpus!r} holds neither corpus.jsonl nor .txt or .md files")
    return texts


def read_corpus(corpus: str) -> Iterator[Document]:
    """The documents of a corpus; a text file is one document, named after its path.

    Its title is the first heading of a Markdown file (`# Bread`), also kept in the text; else its name.

    Raises:
        InputError: there is no such corpus, or something is wrong with a line of it.
    """
    files = corpus_files(corpus)
    if _is_text(files[0]):
        base = _base(corpus, files)
        for file in files:
            text = "\n".join(line for _, line in read_lines(file))
            title = (_heading(text) if file.suffix == ".md" else "") or file.stem
            yield Document(text=text, id=file.relative_to(base).as_posix(), title=title)
    else:
        yield from read_documents(files[0])


def all_documents(corpus: str) -> list[Document]:
    """The documents of a corpus in memory.

    Raises:
        InputError: as for `read_corpus`, or it is empty.
    """
    documents = list(read_corpus(corpus))
    if not documents:
        raise InputError(f"corpus {corpus!r} is empty: it holds no documents")
    return documents


def run_candidates(run: Path, queries: Sequence[Query], corpus: str, depth: int) -> list[list[Document]]:
    """The first `depth` documents of every query in a first stage's run, with their scores as priors.

    Raises:
        InputError: the run names a query or a document that is not there.
    """
    candidates = {query: rows[:depth] for query, rows in read_run(run).items()}
    known = {query.id for query in queries}
    _check_known(run, "queries", [query for query in candidates if query not in known], "the file of queries")
    wanted = {row.document_id for rows in candidates.values() for row in rows}
    texts = {document.id: document for document in read_corpus(corpus) if document.id in wanted}
    _check_known(run, "documents", sorted(wanted - texts.keys()), "the corpus")
    return [
        [replace(texts[row.document_id], prior=row.score) for row in candidates.get(query.id, [])]
        for query in queries
    ]


def corpus_fingerprint(corpus: str) -> str:
    """A hash of all that the documents are made of: an edited corpus is another one, a moved one is not.

    These are the bytes of its files and images, whether they are rows or texts, and the names of texts,
    which are their documents' ids and titles.

    Raises:
        InputError: there is no such corpus, or it is a pipe, which can be read only once.
    """
    digest = hashlib.sha256()
    files = corpus_files(corpus)
    if is_pipe(files[0]):
        regular_file(files[0], "corpus")
    are_texts = _is_text(files[0])
    # Indexes of earlier versions hold the names of Markdown files as titles.
    digest.update(b"texts with headings\0" if are_texts else b"rows\0")
    base = _base(corpus, files)
    for file in files:
        name = file.relative_to(base).as_posix() if are_texts else ""
        for part in (file, *_images(file)):
            digest.update(f"{name}\0{part.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            with part.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:20]


def _base(corpus: str, files: Sequence[Path]) -> Path:
    """What the ids of texts are relative to."""
    folder = Path(corpus).expanduser()
    return folder if folder.is_dir() else files[0].parent


def _images(file: Path) -> Iterator[Path]:
    """The image files a JSONL corpus names; what is wrong with them is reported when the corpus is read."""
    if _is_text(file) or not _mentions_images(file):
        return
    for number, line in read_lines(file):
        if '"images"' in line:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            names = row.get("images") if isinstance(row, dict) else None
            yield from (path for path in image_files(names, file, f"{file}, line {number}") if path.is_file())


def _mentions_images(file: Path) -> bool:
    """Whether each line is worth a look, which of 200 MB takes longer than all else of a search."""
    if file.suffix == ".gz":
        return True
    key = b'"images"'
    with file.open("rb") as stream:
        end = b""
        while block := stream.read(1 << 20):
            if key in block or key in end + block[: len(key)]:
                return True
            end = block[-len(key) :]
    return False


def _heading(markdown: str) -> str:
    """The first heading; what is marked as code holds none."""
    outside = _CODE.sub("", markdown)
    found = _HEADING.search(outside)
    return found[1] if found else ""


_CODE = re.compile(r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$", re.MULTILINE)


def _is_text(file: Path) -> bool:
    return file.suffix in (".txt", ".md")


def _check_known(run: Path, what: str, strangers: Sequence[str], where: str) -> None:
    if strangers:
        shown = ", ".join(strangers[:5]) + (", …" if len(strangers) > 5 else "")
        raise InputError(f"{run} names {len(strangers)} {what} that {where} does not hold: {shown}")
