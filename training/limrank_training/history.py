"""The run's history as it is made: a JSON line an entry, on the disk at once, so that a kill loses none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from limrank_plugins.checks import is_finite
from limrank_plugins.errors import InputError, require
from limrank_plugins.files import parse_json
from limrank_plugins.outputs import naming, write_whole

HISTORY = "history.jsonl"


def read_history(file: Path) -> list[dict[str, float]]:
    """The entries of a history; a last line that a kill left unfinished is passed over."""
    if not file.is_file():
        return []
    entries = []
    lines = file.read_bytes().split(b"\n")
    # Only what a line end follows was written whole.
    for number, line in enumerate(lines[:-1], start=1):
        where = f"{file}, line {number}"
        entry = parse_json(line, where)
        if not isinstance(entry, dict) or not is_finite(entry.get("step")):
            raise InputError(f"{where}: this is no entry of a run's history; begin anew with --fresh")
        entries.append(entry)
    return entries


def rewind(file: Path, step: int) -> None:
    """Forget what was logged after this step: a resumed run will log it again."""
    if file.is_file():
        kept = [entry for entry in read_history(file) if entry["step"] <= step]
        write_whole(file, "".join(_line(entry) for entry in kept).encode("ascii"))


def append(file: Path, entry: dict[str, float]) -> None:
    """Add an entry; when this returns it is on the disk."""
    with naming(file), file.open("ab") as out:
        out.write(_line(entry).encode("ascii"))
        out.flush()
        os.fsync(out.fileno())


def journal(file: Path) -> Any:
    """A callback of `transformers` that appends everything that is logged, in the main process."""
    transformers: Any = require("transformers", "training", "training")

    class HistoryCallback(transformers.TrainerCallback):  # type: ignore[misc]  # the library is not typed here
        """Writes what the trainer logs; a run gone on with first forgets what it will log again."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                file.parent.mkdir(parents=True, exist_ok=True)
                # A step that is not in the checkpoint's own past will be made, and logged, again.
                rewind(file, state.global_step)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.is_world_process_zero and logs:
                numbers = {key: float(value) for key, value in logs.items() if isinstance(value, int | float)}
                append(file, {"step": int(state.global_step), **numbers})

    return HistoryCallback()


def _line(entry: dict[str, float]) -> str:
    return json.dumps(entry) + "\n"
