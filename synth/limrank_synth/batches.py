"""OpenAI's Batch files: the questions that are open go out as a file, its results come in as answers.

The work goes in rounds: `run --batch-out` writes what can be asked now, the batch is run somewhere, and
`batch-in` commits its results to the ledger; then the next round asks what follows from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_lines, write_whole
from limrank_synth.asking import Question
from limrank_synth.endpoints import read_reply, request_body
from limrank_synth.ledger import Ledger
from limrank_synth.settings import Settings


def write_batch(path: Path, wanted: Mapping[str, Question], settings: Settings) -> None:
    """One request a line, named by its key and role, as `POST /v1/chat/completions` takes it."""
    lines = []
    for key, question in wanted.items():
        body = request_body(question, settings.role(question.role), settings.seed)
        named = {
            "custom_id": f"{question.role}:{question.attempt}:{question.sample}:{key}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        }
        lines.append(json.dumps(named, ensure_ascii=True) + "\n")
    write_whole(path, "".join(lines).encode("ascii"))


def read_batch(path: Path, ledger: Ledger, settings: Settings) -> tuple[int, dict[str, str]]:
    """Commit the results of a batch file.

    Returns:
        How many answers were committed, and by key why the others could not be; those are asked again.

    Raises:
        InputError: a line that is not one of a batch's results; it is named.
    """
    committed, failed = 0, {}
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
            role, attempt, sample, key = str(row["custom_id"]).split(":")
            question = Question(role, (), int(attempt), int(sample))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where}: this is no result of a batch of ours: {error!r}") from error
        if ledger.find(key) is not None:
            continue
        model = settings.role(role).model
        try:
            reply = read_reply(_body(row), settings.role(role))
        except CallFailed as failure:
            ledger.note_failure(key, question, model, str(failure))
            failed[key] = str(failure)
            continue
        ledger.commit(key, question, model, reply)
        committed += 1
    return committed, failed


def _body(row: dict[str, Any]) -> dict[str, Any]:
    """The answer of one line.

    Raises:
        CallFailed: the request failed.
    """
    response = row.get("response")
    if row.get("error") or not isinstance(response, dict):
        raise CallFailed(f"the batch could not answer: {str(row.get('error'))[:200]}")
    body = response.get("body")
    if response.get("status_code") != 200 or not isinstance(body, dict):
        raise CallFailed(f"HTTP {response.get('status_code')}: {str(body)[:200]}")
    return body
