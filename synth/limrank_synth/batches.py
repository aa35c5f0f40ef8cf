"""OpenAI's Batch files: the questions that are open go out as a file, its results come in as answers.

The work goes in rounds: `run --batch-out` writes what can be asked now, the batch is run somewhere, and
`batch-in` commits its results to the ledger; then the next round asks what follows from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines, write_parts
from limrank_synth.asking import Question
from limrank_synth.budget import most_it_can_cost
from limrank_synth.endpoints import read_reply, request_body
from limrank_synth.ledger import Ledger
from limrank_synth.settings import ROLES, SynthSettings

MOST_LINES, MOST_BYTES = 50_000, 200_000_000
"""What OpenAI takes in one file."""

_NAME = re.compile(r"([a-z]+):([0-9]{1,7}):([0-9]{1,7}):([0-9a-f]{64})")


class Written(NamedTuple):
    """What became of open questions.

    Attributes:
        files: what was written; none where no question is open.
        asked: how many questions are in them.
        left: how many are not, because the budget does not pay for them.
    """

    files: tuple[Path, ...]
    asked: int
    left: int


def write_batch(
    path: Path,
    wanted: Mapping[str, Question],
    settings: SynthSettings,
    spent: float = 0.0,
    *,
    most_lines: int = MOST_LINES,
    most_bytes: int = MOST_BYTES,
) -> Written:
    """One request a line, named by its key and role, as `POST /v1/chat/completions` takes it.

    A file holds requests to one model at one address, as OpenAI demands. Where that, or its limits,
    takes several, they are called after the path: `open-1.jsonl`, `open-2.jsonl`, …

    Args:
        path: the file.
        wanted: open questions by key.
        settings: roles, and the budget: no more is written than `max_cost` pays for at its dearest.
        spent: dollars that are spent already.
        most_lines: of one file; default: OpenAI's limit.
        most_bytes: of one file; default: OpenAI's limit.
    """
    left, asked = 0, 0
    places: dict[tuple[str | None, str, str], list[list[str]]] = {}
    room: dict[tuple[str | None, str, str], int] = {}
    for key, question in wanted.items():
        role = settings.role(question.role)
        spent += (dearest := most_it_can_cost(question, role))
        if settings.max_cost is not None and spent > settings.max_cost:
            spent -= dearest
            left += 1
            continue
        named = {
            "custom_id": f"{question.role}:{question.attempt}:{question.sample}:{key}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": request_body(question, role, settings.seed),
        }
        line = json.dumps(named, ensure_ascii=True) + "\n"
        place = role.base_url, role.api_key_env, role.model
        parts = places.setdefault(place, [])
        if not parts or len(parts[-1]) >= most_lines or room[place] < len(line):
            parts.append([])
            room[place] = most_bytes
        parts[-1].append(line)
        room[place] -= len(line)
        asked += 1
    parts = [part for several in places.values() for part in several]
    files = tuple(_file(path, number, len(parts)) for number in range(1, len(parts) + 1))
    for file, part in zip(files, parts, strict=True):
        write_parts(file, (line.encode("ascii") for line in part))
    return Written(files, asked, left)


def read_batch(path: Path, ledger: Ledger, settings: SynthSettings) -> tuple[int, dict[str, str]]:
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
            named = _NAME.fullmatch(row["custom_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where}: this is no result of a batch: {error!r}") from error
        if named is None or named[1] not in ROLES:
            raise InputError(f"{where}: custom_id {row['custom_id']!r} is not one that `--batch-out` wrote")
        role, attempt, sample, key = named.groups()
        question = Question(role, (), int(attempt), int(sample))
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


def _file(path: Path, number: int, of: int) -> Path:
    if of == 1:
        return path
    packed = ".gz" if path.name.endswith(".gz") else ""
    plain = Path(path.name.removesuffix(".gz"))
    return path.with_name(f"{plain.stem}-{number}{plain.suffix}{packed}")
