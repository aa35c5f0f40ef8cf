"""What several subcommands share: options, corpora by name, cached indexes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines
from limrank_plugins.images import image_files
from limrank_plugins.io import read_documents
from limrank_plugins.retrievers import Retriever, build_retriever, load_retriever
from limrank_plugins.store import Store, cache_folder, default_store_path

Instruction = Annotated[
    str | None,
    typer.Option(help="A benchmark's instruction by name, or text with {{ query }}.", show_default=False),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.", show_default=False)]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16, float16.", show_default=False)]
FirstStage = Annotated[
    str, typer.Option("--retriever", help="First stage: bm25s, rank_bm25, lucene, dense, bm25q.")
]
Depth = Annotated[int, typer.Option("--k", help="How many passages the first stage hands on.")]
TopN = Annotated[int | None, typer.Option(help="How many to show or write.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
StorePath = Annotated[
    Path | None,
    typer.Option("--store", help="Where answers and journals are kept.", show_default="the user's cache"),
]


def stderr() -> Console:
    """Where everything goes that was not asked for."""
    return Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """One plain line on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(message)


def emit(value: Any) -> None:
    """JSON on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def open_store(path: Path | None) -> Store:
    """The store named, or the user's."""
    return Store(path if path is not None else default_store_path())


def parse_options(written: list[str]) -> dict[str, Any]:
    """`key=value` pairs; a value that is JSON (a number, true, null) is that, anything else is text.

    Raises:
        InputError: one without `=` or without a key.
    """
    options: dict[str, Any] = {}
    for item in written:
        key, equals, value = item.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"--option wants key=value, but got {item!r}")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def corpus_files(corpus: str) -> list[Path]:
    """The files a corpus is made of: a JSONL file, a folder in BEIR's layout, or a folder of texts.

    `samples` is the collection that comes with the package, unless something here has that name.
    """
    path = Path(corpus)
    if corpus == "samples" and not path.exists():
        from limrank_plugins import samples

        return [samples.corpus_path()]
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(
            f"there is no corpus {corpus!r}: give a .jsonl file (_id, title, text), a folder that holds "
            f"corpus.jsonl, a folder of .txt or .md files, or the word samples"
        )
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if (path / name).is_file():
            return [path / name]
    texts = sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".md") and p.is_file())
    if not texts:
        raise InputError(f"folder {corpus!r} holds neither corpus.jsonl nor .txt or .md files")
    return texts


def read_corpus(corpus: str) -> Iterator[Document]:
    """The documents of a corpus; a text file is one document, named after its path."""
    files = corpus_files(corpus)
    if files[0].suffix in (".txt", ".md"):
        base = Path(corpus) if Path(corpus).is_dir() else files[0].parent
        for file in files:
            text = "\n".join(line for _, line in read_lines(file))
            yield Document(text=text, id=file.relative_to(base).as_posix(), title=file.stem)
    else:
        yield from read_documents(files[0])


def open_index(corpus: str, retriever: str, *, folder: Path | None = None) -> Retriever:
    """The index of a corpus: loaded if one with the corpus's fingerprint is there, else built and kept."""
    if folder is None:
        folder = index_folder(corpus, retriever)
    if folder.is_dir():
        return load_retriever(folder)
    documents = list(read_corpus(corpus))
    if not documents:
        raise InputError(f"corpus {corpus!r} is empty: it holds no documents")
    say(f"indexing {len(documents):,} documents with {retriever}")
    built = build_retriever(retriever, documents)
    folder.parent.mkdir(parents=True, exist_ok=True)
    built.save(folder)
    return built


def index_folder(corpus: str, retriever: str) -> Path:
    """Where the index of a corpus is kept."""
    return cache_folder() / "indexes" / f"{retriever}-{corpus_fingerprint(corpus)}"


def corpus_fingerprint(corpus: str) -> str:
    """A hash of the corpus's bytes and pictures: an edited file is another corpus, a moved one is not."""
    digest = hashlib.sha256()
    files = corpus_files(corpus)
    for file in files:
        if len(files) > 1:
            digest.update(file.as_posix().encode("utf-8", "surrogateescape") + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        for picture in _pictures(file):
            digest.update(picture.read_bytes())
    return digest.hexdigest()[:20]


def _pictures(file: Path) -> Iterator[Path]:
    """The picture files a JSONL corpus names; what is wrong with them is told when the corpus is read."""
    if file.suffix in (".txt", ".md"):
        return
    for number, line in read_lines(file):
        if '"images"' in line:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            names = row.get("images") if isinstance(row, dict) else None
            found = image_files(names, file, f"{file}, line {number}")
            yield from (picture for picture in found if picture.is_file())
