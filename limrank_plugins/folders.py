"""Folders that are written whole or not at all, and what is read from them: manifests and npy files.

A folder is written beside its place and renamed into it, so that a kill leaves the old one or the new
one, never half of either. Its manifest knows the size and a checksum of every other file. A file of up
to 32 MiB is summed up whole; of a larger one 128 pieces of 256 KiB are, spread evenly from its first byte
to its last, so that opening the largest index takes a fraction of a second longer.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from limrank_plugins.errors import InputError
from limrank_plugins.files import DAMAGE, read_json_object
from limrank_plugins.outputs import held, unfinished

AGAIN = "build the index again"
_WHOLE, _PIECES = 32 << 20, 128


@contextmanager
def whole_folder(folder: str | os.PathLike[str], ours: Collection[str]) -> Iterator[Path]:
    """Yields a folder to put files into; it gets its name when the block ends without error.

    Args:
        folder: the name.
        ours: a folder there that holds nothing but these names is replaced.

    Raises:
        InputError: something else is there.
    """
    target = Path(folder)
    _check_replaceable(target, ours)
    target.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(target) as part:
        part.mkdir()
        with held(part):
            yield part
            _put(part, target)


def write_manifest(file: Path, body: Mapping[str, Any], *, summed: bool = True) -> None:
    """Write what a folder says about itself, with the sizes and checksums of all files that are in it.

    Args:
        file: the manifest, in that folder.
        body: what is said.
        summed: whether checksums are written; parts that are folders with manifests have their own.
    """
    folder = file.parent
    names = [part.relative_to(folder).as_posix() for part in sorted(folder.rglob("*")) if part.is_file()]
    whole: dict[str, Any] = {**body, "files": {name: (folder / name).stat().st_size for name in names}}
    if summed:
        whole["checksums"] = {name: _checksum(folder / name) for name in names}
    file.write_text(json.dumps(whole, ensure_ascii=True, indent=1), encoding="ascii")


def read_manifest_file(file: Path) -> dict[str, Any]:
    """What a manifest holds, unchecked. `InputError` where it is no JSON object."""
    return read_json_object(file, fix=f"the index is corrupt; {AGAIN}")


def check_files(file: Path, body: Mapping[str, Any]) -> None:
    """Raise an `InputError` for a file that is missing or not as it was written.

    Indexes of earlier versions have no checksums: of theirs, the sizes are looked at.

    Args:
        file: the manifest.
        body: what it holds.
    """
    with manifest_fields(file):
        sizes, sums = dict(body["files"]), dict(body.get("checksums", {}))
    for name, size in sizes.items():
        part = file.parent / name
        try:
            actual = part.stat().st_size if part.is_file() else None
            is_changed = actual == size and name in sums and _checksum(part) != sums[name]
        except OSError as error:  # another process may just be replacing the folder
            raise corrupt(part, error) from error
        if actual != size:
            what = "is missing" if actual is None else f"has {actual} bytes instead of {size}"
            raise InputError(f"{part} {what}; {AGAIN}")
        if is_changed:
            raise corrupt(part, "it was changed since it was written")


@contextmanager
def manifest_fields(file: Path) -> Iterator[None]:
    """Whatever is wrong with a manifest's fields becomes one sentence."""
    try:
        yield
    except DAMAGE as error:
        raise corrupt(file, error) from error


def _checksum(file: Path) -> int:
    size, number, piece = file.stat().st_size, 0, _WHOLE // _PIECES
    starts: Iterable[int] = range(0, size, piece)
    if size > _WHOLE:
        starts = (i * (size - piece) // (_PIECES - 1) for i in range(_PIECES))
    with file.open("rb") as stream:
        for start in starts:
            stream.seek(start)
            number = zlib.crc32(stream.read(piece), number)
    return number


def corrupt(place: str | os.PathLike[str], reason: object) -> InputError:
    """The error for an index that is there but cannot be used."""
    shown = reason
    if isinstance(reason, Exception):  # Java's come with their whole stack behind the first line
        kind = "" if isinstance(reason, InputError) else f"{type(reason).__name__}: "
        shown = f"{kind}{str(reason).partition(chr(10))[0]}"
    return InputError(f"{place} is corrupt ({shown}); {AGAIN}")


def read_array(
    file: Path, dtype: Any, shape: tuple[int | None, ...], *, mapped: bool = False
) -> np.ndarray[Any, Any]:
    """An npy file of this type and shape (None: any size), in memory or mapped.

    Raises:
        InputError: it cannot be read, or is of another type or shape.
    """
    try:
        array: np.ndarray[Any, Any] = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:  # a size that is made up
        raise corrupt(file, error) from error
    fits = len(array.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        raise corrupt(file, f"it holds {array.dtype} of shape {array.shape}")
    return array


def check_numbers(
    file: Path, array: np.ndarray[Any, Any], *, least: float = 0, most: float = math.inf
) -> None:
    """Raise an `InputError` for an array that holds NaN, an infinity or a number out of bounds.

    A mapped file of more than 32 MiB is not read through for this: whoever computes with it looks at what
    comes out.

    Args:
        file: the npy file, for the message.
        array: what it holds.
        least: the lower bound, included.
        most: the upper bound, included.
    """
    if isinstance(array, np.memmap) and array.nbytes > _WHOLE:
        return
    lowest, highest = (array.min(), array.max()) if array.size else (least, least)
    if not (least <= lowest and highest <= most and math.isfinite(lowest) and math.isfinite(highest)):
        wanted = "finite" if least == -math.inf else f">= {least:g}"
        wanted += f" and <= {most:g}" if most < math.inf else ""
        raise corrupt(file, f"its numbers must be {wanted}, but are from {lowest:g} to {highest:g}")


def _check_replaceable(target: Path, ours: Collection[str]) -> None:
    """By names alone: a damaged index may be replaced, and so may one that others are replacing."""
    try:
        held = set(os.listdir(target))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        held = {target.name}
    if not held <= set(ours):
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
        # Others may have just moved it.
        with unfinished(target) as aside, suppress(FileNotFoundError):
            target.rename(aside)
