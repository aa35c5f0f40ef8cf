"""A saved index: a folder with a manifest, the documents as JSONL and what the kind of index adds.

JSON, JSONL and npy only, never pickle. A folder is written whole or not at all, and the manifest knows
the size of every file, so that half an index is never read as a whole one.
"""

from __future__ import annotations

import base64
import json
import mmap
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.files import DAMAGE
from limrank_plugins.folders import (
    AGAIN,
    check_files,
    check_numbers,
    corrupt,
    manifest_fields,
    read_array,
    read_manifest_file,
    whole_folder,
    write_manifest,
)
from limrank_plugins.images import Image

MANIFEST = "manifest.json"
DOCUMENTS = "documents.jsonl"
OFFSETS = "documents.offsets.npy"
__all__ = [
    "DOCUMENTS",
    "MANIFEST",
    "OFFSETS",
    "Manifest",
    "ImmutableIndex",
    "check_numbers",
    "corrupt",
    "new_folder",
    "read_array",
    "read_corpus",
    "read_manifest",
]
_OURS = {MANIFEST, DOCUMENTS, OFFSETS, "bm25s", "lucene", "vectors.npy"}
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder says about itself.

    Attributes:
        kind: the name of the retriever.
        count: how many documents.
        parameters: what the kind of index needs to know.
    """

    kind: str
    count: int
    parameters: Mapping[str, Any]


class ImmutableIndex:
    """A retriever that is its own copy, as an index never changes.

    Attributes:
        opened: the folder in which it lies open, and how it was opened: it is pickled as that folder, which
            is opened again. None for one that is all in memory: it is pickled whole.
    """

    opened: tuple[str, dict[str, Any]] | None = None

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.opened is None:
            return super().__reduce_ex__(protocol)
        folder, options = self.opened
        return _opened_again, (type(self), folder, options)


def _opened_again(kind: Any, folder: str, options: dict[str, Any]) -> Any:
    return kind.load(folder, **options)


# ---- writing ------------------------------------------------------------------------------------


@contextmanager
def new_folder(
    folder: str | os.PathLike[str], kind: str, corpus: Iterable[Document], parameters: Mapping[str, Any]
) -> Iterator[Path]:
    """Yields a folder to put further files into; it gets its name when the block ends without error.

    An index that is there is replaced, an empty folder too; anything else is an `InputError`.

    Args:
        folder: its name.
        kind: the name of the retriever.
        corpus: the documents, which are written before the block begins, each as it comes.
        parameters: what the kind of index needs to know; the block may put in more.
    """
    with whole_folder(folder, _OURS) as part:
        count = _write_documents(part, corpus)
        yield part
        body = {"format": _FORMAT, "kind": kind, "count": count, "parameters": dict(parameters)}
        write_manifest(part / MANIFEST, body)


def _write_documents(folder: Path, corpus: Iterable[Document]) -> int:
    offsets = array("q", [0])
    with (folder / DOCUMENTS).open("xb") as stream:
        for document in corpus:
            offsets.append(offsets[-1] + stream.write(_line(document)))
    np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64), allow_pickle=False)
    return len(offsets) - 1


def _line(document: Document) -> bytes:
    row: dict[str, Any] = {"_id": document.id, "title": document.title, "text": document.text}
    if document.meta:
        row["meta"] = dict(document.meta)
    if document.images:
        row["images"] = [base64.b64encode(image.data).decode("ascii") for image in document.images]
    try:
        try:
            return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
        except UnicodeEncodeError:  # a lone surrogate in the meta: escaped, JSON can hold it
            return (json.dumps(row, ensure_ascii=True) + "\n").encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"the meta of document {document.id!r} cannot be saved as JSON ({error}): "
            f"leave out of it what is not text, number, list or dict"
        ) from error


# ---- reading ------------------------------------------------------------------------------------


def read_manifest(folder: str | os.PathLike[str], kind: str | None = None) -> Manifest:
    """What the folder says about itself, after a look at whether it is all there.

    Args:
        folder: the index.
        kind: what it must be; default: anything.

    Raises:
        InputError: it is not there, no index, incomplete, of another kind or of a later version.
    """
    manifest, body = _manifest(Path(folder))
    if kind is not None and manifest.kind != kind:
        raise InputError(f"{folder} is an index of kind {manifest.kind!r}, not {kind!r}: use load_retriever")
    check_files(Path(folder) / MANIFEST, body)
    return manifest


def kind_of(folder: str | os.PathLike[str]) -> str:
    """The name of the retriever that can load the folder, which looks at its files.

    Raises:
        InputError: as for `read_manifest`, but for files that are missing or were changed.
    """
    return _manifest(Path(folder))[0].kind


def _manifest(place: Path) -> tuple[Manifest, dict[str, Any]]:
    file = place / MANIFEST
    if not place.is_dir():
        raise InputError(f"there is no index at {place}: {AGAIN}")
    if not file.is_file():
        raise InputError(f"{place} is no index, or an incomplete one: it has no {MANIFEST}; {AGAIN}")
    body = read_manifest_file(file)
    with manifest_fields(file):
        version, count = body["format"], whole_number("count", body["count"], least=0)
        manifest = Manifest(str(body["kind"]), count, dict(body["parameters"]))
    if version != _FORMAT:
        raise InputError(f"{file} has format {version!r}, but this limrank reads {_FORMAT}: {AGAIN}")
    return manifest, body


def read_corpus(folder: str | os.PathLike[str], count: int, *, lazily: bool = False) -> Sequence[Document]:
    """The documents of an index, in memory, or read from the file as they are asked for."""
    place = Path(folder)
    offsets = read_array(place / OFFSETS, np.int64, (count + 1,))
    if offsets[0] != 0 or (np.diff(offsets) <= 0).any():
        raise corrupt(place / OFFSETS, "offsets must grow from 0")
    stored = _StoredDocuments(place / DOCUMENTS, offsets)
    return stored if lazily else list(stored)


class _StoredDocuments(Sequence[Document]):
    """Documents read from the file one by one. The mapping outlives a replacement of the folder."""

    def __init__(self, file: Path, offsets: np.ndarray[Any, Any]) -> None:
        self._file = file
        self._offsets = offsets
        try:
            with file.open("rb") as stream:
                self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # another process may just be replacing the folder
            raise corrupt(file, error) from error
        if len(self._bytes) != int(offsets[-1]):
            raise corrupt(file, f"it does not fit its {OFFSETS}")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start, end = int(self._offsets[place]), int(self._offsets[place + 1])
        where = f"{self._file}, line {place + 1}"
        try:
            row = json.loads(self._bytes[start:end])
            return Document(
                row["text"],
                id=row["_id"],
                title=row["title"],
                meta=row.get("meta", {}),
                images=tuple(Image(base64.b64decode(data, validate=True)) for data in row.get("images", ())),
            )
        except DAMAGE as error:
            raise corrupt(where, error) from error
