"""The files of an evaluation by questions, and the name of the job that its finished answers are kept under.

The job's journal holds what files will hold, so of a gated set identifiers, letters, numbers and hashes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from limrank_evals.questions.gating import digest

OUTPUTS = ("answers.jsonl", "result.json", "report.json", "report.html", "table.md", "table.tex")
SCHEMA = "limrank eval questions 1"


def job_name(settings: Mapping[str, Any]) -> str:
    """The name of the job that these settings make."""
    return f"questions {digest(json.dumps(settings, sort_keys=True))}"
