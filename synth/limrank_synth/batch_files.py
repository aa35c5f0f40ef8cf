"""OpenAI's Batch files: the requests that are open go out as a file, its results come in as replies.

The work goes in rounds: `run --batch-out` writes what can be asked now, the batch is run somewhere, and
`batch-in` stores its results in the ledger; then the next round asks what follows from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.backends.metered import Metered, most_tokens
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.packing import pack_reply
from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, write_parts
from limrank_plugins.ledger import Ledger
from limrank_plugins.reply_store import To
from limrank_plugins.segments import Prompt
from limrank_plugins.store import Store
from limrank_synth.roles import Roles, attempt_and_sample
from limrank_synth.settings import ROLES, SynthSettings

MOST_LINES, MOST_BYTES = 50_000, 200_000_000
"""What OpenAI takes in one file."""

_NAME = re.compile(r"([a-z]+):([0-9]{1,7}):([0-9]{1,7}):([0-9a-f]{64})")


class BatchFiles(NamedTuple):
    """What became of open requests.

    Attributes:
        files: what was written; none where no request is open.
        asked: how many requests are in them.
        left: how many are not, because the budget does not pay for them.
    """

    files: tuple[Path, ...]
    asked: int
    left: int


def write_batch(
    path: Path,
    unasked: Mapping[str, To],
    settings: SynthSettings,
    spent: float = 0.0,
    *,
    most_lines: int = MOST_LINES,
    most_bytes: int = MOST_BYTES,
) -> BatchFiles:
    """One request a line, named by its key and role, as `POST /v1/chat/completions` takes it.

    A file holds requests to one model at one address, as OpenAI demands. Where that, or its limits,
    takes several, they are called after the path: `open-1.jsonl`, `open-2.jsonl`, …

    Args:
        path: the file.
        unasked: open requests by key.
        settings: roles, and the budget: no more is written than `max_cost` pays for at its dearest.
        spent: dollars that are spent already.
        most_lines: of one file; default: OpenAI's limit.
        most_bytes: of one file; default: OpenAI's limit.

    Raises:
        InputError: a request is for a model in this process.
    """
    left, asked = 0, 0
    places: dict[tuple[str | None, str, str], list[list[str]]] = {}
    room: dict[tuple[str | None, str, str], int] = {}
    for key, to in unasked.items():
        backend, request = to.backend, to.request
        assert isinstance(backend, Metered)
        assert isinstance(request, Generate)
        name = backend.role
        role = settings.role(name)
        dearest = role.price.cost(*most_tokens(request))
        if settings.max_cost is not None and spent + dearest > settings.max_cost:
            left += 1
            continue
        spent += dearest
        attempt, sample = attempt_and_sample(request.sample)
        entry = {
            "custom_id": f"{name}:{attempt}:{sample}:{key}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": _served(backend).request_body(request),
        }
        line = json.dumps(entry, ensure_ascii=True) + "\n"
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
    return BatchFiles(files, asked, left)


def read_batch(
    path: Path, store: Store, ledger: Ledger, settings: SynthSettings
) -> tuple[int, dict[str, str]]:
    """Store the results of a batch file.

    Returns:
        How many replies were stored, and by key why the others could not be; those are asked again.

    Raises:
        InputError: a line that is not one of a batch's results; it is named.
    """
    stored, failed = 0, {}
    roles = Roles(settings, ledger, offline=True)
    for where, row in json_rows(path):
        parts = _NAME.fullmatch(str(row.get("custom_id")))
        if parts is None or parts[1] not in ROLES:
            raise InputError(
                f"{where}: custom_id {row.get('custom_id')!r} is not one that `--batch-out` wrote"
            )
        name, _, _, key = parts.groups()
        item = bytes.fromhex(key)
        if store.get_many([item]):
            continue
        role = settings.role(name)
        try:
            reply = _served(roles.backend(name)).read_body(_READ, _body(row))
        except CallFailed as failure:
            ledger.note_failure(key, name, role.model, str(failure))
            failed[key] = str(failure)
            continue
        cost = role.price.cost(reply.usage.prompt_tokens, reply.usage.generated_tokens)
        store.put_many([(item, pack_reply(reply))])
        ledger.pay(key, name, role.model, replace(reply.usage, cost=cost))
        stored += 1
    return stored, failed


_READ = Generate(Prompt(()), stop=(), max_tokens=1)
"""Reading a result needs no more of its request than that it stopped at no string."""


def _served(backend: Metered) -> OpenAIBackend:
    if not isinstance(backend.backend, OpenAIBackend):
        raise InputError(
            f"role {backend.role!r} is played by a model in this process, which takes no batch files: "
            f"leave out --batch-out"
        )
    return backend.backend


def _body(row: dict[str, Any]) -> dict[str, Any]:
    """The reply of one line.

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
