"""The folder of an evaluation by questions, and the name of the job that its finished answers are kept under.

The job's journal holds what files will hold, so of a gated set identifiers, letters, numbers and hashes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limrank_evals.folders import claim, differences, read_settings, refuse, start_over, write_settings
from limrank_evals.questions.gating import digest

OUTPUTS = ("answers.jsonl", "result.json", "report.json", "report.html", "table.md", "table.tex")
SCHEMA = "limrank eval questions 1"


def job_name(settings: Mapping[str, Any]) -> str:
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
