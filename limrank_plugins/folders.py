"""Folders that are written whole or not at all, and what is read from them: npy files and file sizes.

A folder is written beside its place and renamed into it, so that a kill leaves the old one or the new
one, never half of either.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from limrank_plugins.errors import InputError
from limrank_plugins.files import held, unfinished

AGAIN = "build the index again"


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


def file_sizes(folder: Path) -> dict[str, int]:
    """The size of every file in a folder, for its manifest."""
    return {
        file.relative_to(folder).as_posix(): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def check_sizes(folder: Path, sizes: Mapping[str, int]) -> None:
    """Raise an `InputError` for a file that is missing or of another size."""
    for name, size in sizes.items():
        part = folder / name
        actual = part.stat().st_size if part.is_file() else None
        if actual != size:
            what = "is missing" if actual is None else f"has {actual} bytes instead of {size}"
            raise InputError(f"{part} {what}; {AGAIN}")


def corrupt(place: str | os.PathLike[str], reason: object) -> InputError:
    """The error for an index that is there but cannot be used."""
    shown = reason
    if isinstance(reason, Exception):  # Java's come with their whole stack behind the first line
        shown = f"{type(reason).__name__}: {str(reason).partition(chr(10))[0]}"
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
    except (OSError, ValueError, EOFError) as error:
        raise corrupt(file, error) from error
    fits = len(array.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        raise corrupt(file, f"it holds {array.dtype} of shape {array.shape}")
    return array


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
