"""What is done of an evaluation, so that a killed one goes on; and the folder it belongs to.

The journal holds what files will hold, so of a gated set identifiers, letters, numbers and hashes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limrank_evals.questions.gating import digest
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_lines, write_whole
from limrank_plugins.store import Store

SETTINGS_FILE, STORE_FILE = "settings.json", "store.sqlite"
OUTPUTS = ("answers.jsonl", "result.json", "report.json", "report.html", "table.md", "table.tex")
SCHEMA = "limrank eval questions 1"


class Journal:
    """Done items of one job, by name.

    Args:
        store: where they are kept.
        job: names the job; two jobs share nothing.
    """

    def __init__(self, store: Store, job: str) -> None:
        self._store, self._job = store, job
        self._done = store.committed(job)

    def __len__(self) -> int:
        return len(self._done)

    def find(self, item: str) -> dict[str, Any] | None:
        """What was committed for an item, or None."""
        packed = self._done.get(item)
        if packed is None:
            return None
        found: dict[str, Any] = json.loads(packed)
        return found

    def commit(self, item: str, record: Mapping[str, Any]) -> None:
        """Keep an item; it is on disk when this returns."""
        packed = json.dumps(record, ensure_ascii=True).encode("ascii")
        self._store.commit(self._job, item, packed)
        self._done[item] = packed


def job_of(settings: Mapping[str, Any]) -> str:
    """The name of the job that these settings make."""
    return f"questions {digest(json.dumps(settings, sort_keys=True))}"


def open_folder(folder: Path, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
    """Make the folder this evaluation's own: new, begun by the same settings, or emptied by `fresh`.

    Raises:
        InputError: it is a file, holds other files, or an evaluation with other settings, which are named.
    """
    file = folder / SETTINGS_FILE
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the evaluation")
    others = sorted(one.name for one in folder.iterdir()) if folder.is_dir() and not file.is_file() else []
    if others:
        raise InputError(
            f"{folder} holds other files ({others[0]}) and no {SETTINGS_FILE}: name another folder"
        )
    if fresh and file.is_file():
        _read(file)  # what is of another kind is not ours to remove
        # The settings go last: what is killed on the way still belongs to them.
        stored = [f"{STORE_FILE}{end}" for end in ("", "-wal", "-shm", ".guard")]
        for name in (*OUTPUTS, *stored, SETTINGS_FILE):
            (folder / name).unlink(missing_ok=True)
    if file.is_file():
        differ = _differences(_read(file), json.loads(json.dumps(settings)))
        if differ:
            raise InputError(
                f"{folder} holds an evaluation with other settings: {'; '.join(differ)}. Name another "
                f"--output, or start it over with --fresh"
            )
        return
    text = json.dumps({"schema": SCHEMA, **settings}, ensure_ascii=False, indent=2) + "\n"
    write_whole(file, text.encode("utf-8", "backslashreplace"))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads("\n".join(line for _, line in read_lines(file)))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): it is no evaluation's") from error
    if not isinstance(found, dict) or found.pop("schema", None) != SCHEMA:
        raise InputError(f"{file} is of another kind or version of evaluation: name another --output")
    return found


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = [*now, *(name for name in before if name not in now)]
    return [
        f"{name} is {json.dumps(before.get(name))} there, {json.dumps(now.get(name))} here"
        for name in names
        if before.get(name) != now.get(name)
    ]
