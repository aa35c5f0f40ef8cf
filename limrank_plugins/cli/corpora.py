"""What the commands that serve let clients search: the option, the corpora's names, their indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limrank_plugins.cli import common
from limrank_plugins.corpus import corpus_files, is_samples
from limrank_plugins.errors import InputError
from limrank_plugins.index_folders import is_index
from limrank_plugins.retrievers import Retriever, load_retriever
from limrank_plugins.retrievers.languages import DEFAULT

Corpora = Annotated[
    list[str] | None,
    typer.Option(
        "--corpus",
        help="What clients may search, as for `limrank search`, or the folder of an index; or NAME=CORPUS, "
        "by which they call it. Repeat for more; samples comes last.",
        show_default=False,
    ),
]
_SAMPLES = "samples"


def named_corpora(texts: list[str]) -> dict[str, str]:
    """The corpora by what clients call them: the name before `=`, or that of file or folder; samples last.

    Raises:
        InputError: one that is not there, or two with the same name.
    """
    corpora: dict[str, str] = {}
    for text in texts:
        name, equals, corpus = text.partition("=")
        if not equals or Path(text).exists():
            name, corpus = Path(text).stem or text, text
        if not name or not corpus:
            raise InputError(f"--corpus must be written CORPUS or NAME=CORPUS, but got {text!r}")
        if name in corpora:
            raise InputError(f"two corpora are called {name!r}: write --corpus NAME={corpus}")
        corpus_files(corpus)
        corpora[name] = corpus
    return {**corpora, _SAMPLES: _SAMPLES} if _SAMPLES not in corpora else corpora


def open_corpora(corpora: dict[str, str], retriever: str, language: str = DEFAULT) -> dict[str, Retriever]:
    """The indexes of corpora, by name: the saved ones as they are, the others as `common.open_index`.

    Args:
        corpora: as `named_corpora` gives them.
        retriever: the first stage of those that are no indexes.
        language: of their words; the sample collection's are English.

    Raises:
        InputError: as for `open_index` or `load_retriever`.
    """
    return {
        name: load_retriever(Path(corpus).expanduser())
        if is_index(corpus)
        else common.open_index(corpus, retriever, language=DEFAULT if is_samples(corpus) else language)
        for name, corpus in corpora.items()
    }
