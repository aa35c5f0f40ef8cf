"""What is done of an evaluation, so that a killed one goes on; and the folder it belongs to.

The journal holds what files will hold, so of a gated set identifiers, letters, numbers and hashes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limrank_evals.folders import claim, differences, read_settings, refuse, start_over, write_settings
from limrank_evals.questions.gating import digest
from limrank_plugins.store import Store

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
    there = claim(folder)
    settings = json.loads(json.dumps({"schema": SCHEMA, **settings}))
    if there:
        found = read_settings(folder, SCHEMA)  # what is of another kind is not ours to remove
        if not fresh:
            refuse(folder, differences(found, settings))
            return
    if fresh:
        start_over(folder, OUTPUTS)
    write_settings(folder, settings)
