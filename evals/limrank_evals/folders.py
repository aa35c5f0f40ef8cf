"""A folder that belongs to one evaluation: what makes it so lies in it, and another one is refused.

A killed evaluation goes on in its folder; so does the same command given twice. One with other settings
would mix two evaluations' numbers, so it is told what differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines, write_whole

SETTINGS, STORE = "settings.json", "store.sqlite"


def claim(folder: Path) -> bool:
    """Whether an evaluation has begun in the folder; False for a new one, which is made.

    Raises:
        InputError: it is a file, or holds other files.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the evaluation")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / SETTINGS).is_file():
        return True
    # A run that was refused before it had settings leaves nothing but its store.
    others = [one.name for one in folder.iterdir() if not one.name.startswith(STORE)]
    if others:
        raise InputError(f"{folder} holds other files ({min(others)}) and no {SETTINGS}: name another folder")
    return False


def read_settings(folder: Path, schema: str) -> dict[str, Any]:
    """The settings that lie in a folder.

    Raises:
        InputError: they are no settings of this kind of evaluation and version.
    """
    file = folder / SETTINGS
    try:
        found = json.loads("\n".join(line for _, line in read_lines(file)))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): it is no evaluation's") from error
    if not isinstance(found, dict) or found.get("schema") != schema:
        raise InputError(
            f"{file} is of another kind or version of evaluation (its schema must be {schema!r}): "
            f"name another --output"
        )
    return found


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write them, all or nothing."""
    write_whole(folder / SETTINGS, as_json(settings))


def differences(there: Mapping[str, Any], here: Mapping[str, Any], where: str = "") -> list[str]:
    """What is set otherwise, in words: `depth is 100 there, 10 here`."""
    found = []
    for name in dict.fromkeys([*there, *here]):
        old, new = there.get(name), here.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{where}{name}.")
        elif old != new:
            found.append(f"{where}{name} is {json.dumps(old)} there, {json.dumps(new)} here")
    return found


def refuse(folder: Path, told: Sequence[str]) -> None:
    """Raise an `InputError` that tells these differences, if there are any."""
    if told:
        raise InputError(
            f"{folder} holds an evaluation with other settings: {'; '.join(told)}. "
            f"Name another --output, or start it over with --fresh"
        )


def start_over(folder: Path, names: Iterable[str]) -> None:
    """Take these files, the store and the settings away, and nothing else.

    The settings go last: what is killed on the way still belongs to them.
    """
    stored = (f"{STORE}{ending}" for ending in ("", "-wal", "-shm", ".guard"))
    for name in (*names, *stored, SETTINGS):
        (folder / name).unlink(missing_ok=True)


def as_json(value: Any) -> bytes:
    """A value as the text of a file."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")
