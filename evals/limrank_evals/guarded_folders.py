"""The folder of one evaluation: its settings lie in it, and an evaluation with other settings is refused.

A killed evaluation goes on in its folder, and so does the same command run twice. Other settings would mix
two evaluations' numbers: the error says which of them differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.begun_anew import NEW
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json
from limrank_plugins.locks import LOCK, alone_in
from limrank_plugins.outputs import make_folder, write_json
from limrank_plugins.wording import shortened

_MOST = 120  # characters of a setting, in a refusal
SETTINGS, STORE = "settings.json", "store.sqlite"


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Hold the folder of an evaluation, which is made if it is not there, until the block ends.

    Raises:
        InputError: it is a file, holds other files, or another process works in it.
    """
    claim(folder)
    with alone_in(folder):
        yield


def evaluation_files(folder: Path, schema: str, outputs: Iterable[str]) -> list[Path]:
    """The files of an evaluation of one kind in a folder; see `begun_anew.working_on`.

    Args:
        folder: where.
        schema: the kind and version of the evaluation.
        outputs: its files beside the store and the settings.

    Raises:
        InputError: its settings are of another kind: its files are not ours to replace.
    """
    if (folder / SETTINGS).is_file():
        read_settings(folder, schema)
    return files_of(folder, outputs)


def claim(folder: Path) -> bool:
    """Whether an evaluation has begun in the folder; False for a new one, which is created.

    Raises:
        InputError: it is a file, or holds other files.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the evaluation")
    make_folder(folder)
    if (folder / SETTINGS).is_file():
        return True
    # An evaluation that was refused before it had settings leaves nothing but its store.
    others = [file.name for file in folder.iterdir() if not file.name.startswith((STORE, LOCK, NEW))]
    if others:
        raise InputError(f"{folder} holds other files ({min(others)}) and no {SETTINGS}: name another folder")
    return False


def keep_settings(folder: Path, schema: str, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new evaluation, or compare them with those that are there.

    Raises:
        InputError: they differ, or those that are there are of another kind or version.
    """
    current = plain({"schema": schema, **settings})
    if (folder / SETTINGS).is_file():
        refuse(folder, differences(read_settings(folder, schema), current))
    else:
        write_json(folder / SETTINGS, current)


def read_settings(folder: Path, schema: str) -> dict[str, Any]:
    """The settings in a folder.

    Raises:
        InputError: they are no settings of this kind and version of evaluation.
    """
    settings = read_json(folder / SETTINGS)
    if not isinstance(settings, dict) or settings.get("schema") != schema:
        raise InputError(
            f"{folder / SETTINGS} is of another kind or version of evaluation (its schema must be "
            f"{schema!r}): name another --output"
        )
    return settings


def plain(value: Any) -> Any:
    """A value as it comes back out of a JSON file."""
    return json.loads(json.dumps(value))


def differences(there: Mapping[str, Any], here: Mapping[str, Any], where: str = "") -> list[str]:
    """The settings that differ, in words: `depth is 100 there, 10 here`."""
    words = []
    for name in dict.fromkeys([*there, *here]):
        old, new = there.get(name), here.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            words += differences(old, new, f"{where}{name}.")
        elif old != new:
            before, now = _what_differs(old, new)
            words.append(f"{where}{name} is {before} there, {now} here")
    return words


def _what_differs(there: Any, here: Any) -> tuple[str, str]:
    """Two values in words; of names made of parts (`a|b|c`) and of lists, what is not in the other."""
    if isinstance(there, str) and isinstance(here, str) and there.count("|") == here.count("|") > 0:
        parts = zip(there.split("|"), here.split("|"), strict=True)
        there, here = map("|".join, zip(*(pair for pair in parts if pair[0] != pair[1]), strict=True))
    elif isinstance(there, list) and isinstance(here, list):
        apart = [one for one in there if one not in here], [one for one in here if one not in there]
        there, here = apart if any(apart) else (there, here)  # the same in another order
    return shortened(json.dumps(there), _MOST), shortened(json.dumps(here), _MOST)


def refuse(folder: Path, differing: Sequence[str]) -> None:
    """Raise an `InputError` that names these differences, if there are any."""
    if differing:
        raise InputError(
            f"{folder} holds an evaluation with other settings: {'; '.join(differing)}. "
            f"Name another --output, or start it over with --fresh"
        )


def files_of(folder: Path, names: Iterable[str]) -> list[Path]:
    """These files of an evaluation, its store and its settings."""
    stored = (f"{STORE}{ending}" for ending in ("", "-wal", "-shm", ".guard"))
    return [file for name in (*names, *stored, SETTINGS) if (file := folder / name).is_file()]
