"""Folders of saved indexes where a corpus is wanted: what they are, and the documents in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.folders import read_manifest_file
from limrank_plugins.retrievers import retriever_names
from limrank_plugins.retrievers.folder import DOCUMENTS, MANIFEST, OFFSETS, read_corpus, read_manifest

_HYBRID = "hybrid.json"
_TILDE = "indptr.npy"


def is_index(name: str | os.PathLike[str]) -> bool:
    """Whether this is a folder that `limrank index -o` or a retriever's `save` wrote, whole or damaged."""
    place = Path(name).expanduser()
    try:
        if not (place / MANIFEST).is_file() or is_other_index(place):
            return False
        return (place / OFFSETS).is_file() or read_manifest_file(place / MANIFEST).get("kind") in (
            retriever_names()
        )
    except (InputError, OSError, ValueError):  # somebody's file of that name, or a name that is none
        return False


def is_other_index(place: Path) -> str:
    """What reads a folder that is an index of another kind than a corpus has; "" for others."""
    if (place / _HYBRID).is_file() and is_index(place / "part-0"):
        return "limrank_pipelines.HybridRetriever.load"
    if (place / MANIFEST).is_file() and (place / _TILDE).is_file():
        return f"`limrank rerank --recipe tildev2 --option index={place}`"
    return ""


def index_files(name: str | os.PathLike[str]) -> list[Path]:
    """The files of an index that hold its documents and say what it is."""
    place = Path(name).expanduser()
    return [place / MANIFEST, place / DOCUMENTS]


def indexed_documents(name: str | os.PathLike[str]) -> Iterator[Document]:
    """The documents of an index, as they were indexed.

    Raises:
        InputError: it is damaged.
    """
    place = Path(name).expanduser()
    yield from read_corpus(place, read_manifest(place).count, lazily=True)
