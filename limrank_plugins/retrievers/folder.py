"""A saved index: a folder with a manifest, the documents as JSONL and what the kind of index adds.

JSON, JSONL and npy only, never pickle. A folder is written beside its place and renamed into it, and
the manifest knows the size of every file, so that half an index is never read as a whole one.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError

MANIFEST = "manifest.json"
DOCUMENTS = "documents.jsonl"
OFFSETS = "documents.offsets.npy"
_OURS = {MANIFEST, DOCUMENTS, OFFSETS, "bm25s", "lucene", "vectors.npy"}
_FORMAT = 1
_AGAIN = "build the index again"


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


# ---- writing ------------------------------------------------------------------------------------


@contextmanager
def new_folder(
    folder: str | os.PathLike[str], kind: str, corpus: Sequence[Document], parameters: Mapping[str, Any]
) -> Iterator[Path]:
    """Yields a folder to put further files into; it gets its name when the block ends without error.

    An index that is there is replaced, an empty folder too; anything else is an `InputError`.
    """
    target = Path(folder)
    _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(target)
    part.mkdir()
    try:
        _write_documents(part, corpus)
        yield part
        sizes = {
            file.relative_to(part).as_posix(): file.stat().st_size
            for file in sorted(part.rglob("*"))
            if file.is_file()
        }
        body = {
            "format": _FORMAT,
            "kind": kind,
            "count": len(corpus),
            "parameters": dict(parameters),
            "files": sizes,
        }
        text = json.dumps(body, ensure_ascii=True, indent=1)
        (part / MANIFEST).write_text(text, encoding="ascii")
        _put(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_replaceable(target: Path) -> None:
    """By names alone: a damaged index may be replaced, and so may one that others are replacing."""
    try:
        held = set(os.listdir(target))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        held = {target.name}
    if not held <= _OURS:
        raise InputError(f"{target} holds something that is no index: choose another folder")


def _put(part: Path, target: Path) -> None:
    # Two processes may save to one place: the later one wins, and neither leaves half a folder.
    for attempt in range(100):
        try:
            part.rename(target)
            return
        except OSError:
            if attempt == 99 or not target.parent.is_dir():
                raise
        aside = _beside(target)
        with suppress(FileNotFoundError):  # others have just moved it
            target.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")


def _write_documents(folder: Path, corpus: Sequence[Document]) -> None:
    offsets = [0]
    with (folder / DOCUMENTS).open("xb") as stream:
        for document in corpus:
            offsets.append(offsets[-1] + stream.write(_line(document)))
    np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64), allow_pickle=False)


def _line(document: Document) -> bytes:
    row: dict[str, Any] = {"_id": document.id, "title": document.title, "text": document.text}
    if document.meta:
        row["meta"] = dict(document.meta)
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


def corrupt(place: str | os.PathLike[str], reason: object) -> InputError:
    """The error for an index that is there but cannot be used."""
    told = reason
    if isinstance(reason, Exception):  # Java's come with their whole stack behind the first line
        told = f"{type(reason).__name__}: {str(reason).partition(chr(10))[0]}"
    return InputError(f"{place} is corrupt ({told}); build the index again")


# ---- reading ------------------------------------------------------------------------------------


def read_manifest(folder: str | os.PathLike[str], kind: str | None = None) -> Manifest:
    """What the folder says about itself, after a look at whether it is all there.

    Args:
        folder: the index.
        kind: what it must be; default: anything.

    Raises:
        InputError: it is not there, no index, incomplete, of another kind or of a later version.
    """
    place = Path(folder)
    file = place / MANIFEST
    if not place.is_dir():
        raise InputError(f"there is no index at {place}: {_AGAIN}")
    if not file.is_file():
        raise InputError(f"{place} is no index, or an incomplete one: it has no {MANIFEST}; {_AGAIN}")
    try:
        body = json.loads(file.read_bytes())
        version, count, sizes = body["format"], body["count"], dict(body["files"])
        made = Manifest(str(body["kind"]), int(count), dict(body["parameters"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise corrupt(file, error) from error
    if version != _FORMAT:
        raise InputError(f"{file} has format {version!r}, but this limrank reads {_FORMAT}: {_AGAIN}")
    if kind is not None and made.kind != kind:
        raise InputError(f"{place} is an index of kind {made.kind!r}, not {kind!r}: use load_retriever")
    for name, size in sizes.items():
        part = place / name
        actual = part.stat().st_size if part.is_file() else None
        if actual != size:
            what = "is missing" if actual is None else f"has {actual} bytes instead of {size}"
            raise InputError(f"{part} {what}; {_AGAIN}")
    return made


def read_corpus(folder: str | os.PathLike[str], count: int, *, lazily: bool = False) -> Sequence[Document]:
    """The documents of an index, in memory, or read from the file as they are asked for."""
    place = Path(folder)
    offsets = read_array(place / OFFSETS, np.int64, (count + 1,))
    if offsets[0] != 0 or (np.diff(offsets) <= 0).any():
        raise corrupt(place / OFFSETS, "offsets must grow from 0")
    stored = _StoredDocuments(place / DOCUMENTS, offsets)
    return stored if lazily else list(stored)


def read_array(
    file: Path, dtype: Any, shape: tuple[int | None, ...], *, mapped: bool = False
) -> np.ndarray[Any, Any]:
    """An npy file of this type and shape (None: any size), in memory or mapped.

    Raises:
        InputError: it cannot be read, or is of another type or shape.
    """
    try:
        array: np.ndarray[Any, Any] = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise corrupt(file, error) from error
    fits = len(array.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        raise corrupt(file, f"it holds {array.dtype} of shape {array.shape}")
    return array


class _StoredDocuments(Sequence[Document]):
    """Documents read from the file one by one. The mapping outlives a replacement of the folder."""

    def __init__(self, file: Path, offsets: np.ndarray[Any, Any]) -> None:
        self._file = file
        self._offsets = offsets
        with file.open("rb") as stream:
            self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
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
        try:
            row = json.loads(self._bytes[start:end])
            return Document(row["text"], id=row["_id"], title=row["title"], meta=row.get("meta", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise corrupt(f"{self._file}, line {place + 1}", error) from error
