"""OpenAI's Batch files: the requests that are open go out as a file, its results come in as replies.

The work goes in rounds: `run --batch-out` writes what can be asked now, the batch is run somewhere, and
`batch-in` stores its results in the ledger; then the next round asks what follows from them. A request is
in the ledger from when it is written until its result comes in: it is written once, and so is each bill.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from limrank_plugins.backends.metered import Metered, most_tokens
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.packing import pack_reply
from limrank_plugins.backends.protocols import Failed, Generate, Generated
from limrank_plugins.backends.remote.faults import CallFailed, brief
from limrank_plugins.backends.remote.replies import usage_of
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows
from limrank_plugins.ledger import Ledger
from limrank_plugins.outputs import check_ours, write_parts
from limrank_plugins.reply_store import To
from limrank_plugins.segments import Prompt
from limrank_plugins.store import Store
from limrank_synth.roles import Roles, attempt_and_sample
from limrank_synth.settings import ROLES, SynthSettings

MOST_LINES, MOST_BYTES = 50_000, 200_000_000
"""What OpenAI takes in one file."""

_NAME = re.compile(r"([a-z]+):([0-9]{1,7}):([0-9]{1,7}):([0-9a-f]{64})(?::([0-9a-f]{12}))?")


class BatchFiles(NamedTuple):
    """What became of open requests.

    Attributes:
        files: what was written; none where no request is open.
        asked: how many requests are in them.
        left: how many are not, because the budget does not pay for them.
        waiting: how many are in files of before, whose results have not come in.
    """

    files: tuple[Path, ...]
    asked: int
    left: int
    waiting: int


def write_batch(
    path: Path,
    unasked: Mapping[str, To],
    settings: SynthSettings,
    ledger: Ledger,
    *,
    again: bool = False,
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
        ledger: says what is spent, and which requests are in files of before; those that are written now
            are put into it.
        again: write requests that are in files of before once more, for files that were lost.
        most_lines: of one file; default: OpenAI's limit.
        most_bytes: of one file; default: OpenAI's limit.

    Raises:
        InputError: a request is for a model in this process, or another's file is where a file is written
            that is called after the path.
    """
    left, waiting, spent = 0, 0, ledger.spent
    in_files = ledger.batched if not again else frozenset()
    requests: list[tuple[str, str, float]] = []
    places: dict[tuple[str | None, str, str], list[list[str]]] = {}
    room: dict[tuple[str | None, str, str], int] = {}
    for key, to in unasked.items():
        if key in in_files:
            waiting += 1
            continue
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
        mark = secrets.token_hex(6)
        attempt, sample = attempt_and_sample(request.sample)
        entry = {
            "custom_id": f"{name}:{attempt}:{sample}:{key}:{mark}",
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
        requests.append((key, mark, dearest))
    parts = [part for several in places.values() for part in several]
    files = tuple(_file(path, number, len(parts)) for number in range(1, len(parts) + 1))
    for file in files:
        if file != path:
            check_ours(file, _is_batch, option="--batch-out")
    for file, part in zip(files, parts, strict=True):
        write_parts(file, (line.encode("ascii") for line in part))
    # After the files: a kill in between leaves requests that are written again, and none that never were.
    for waits in requests:
        ledger.put_in_batch(*waits)
    return BatchFiles(files, len(requests), left, waiting)


def read_batch(
    path: Path, store: Store, ledger: Ledger, settings: SynthSettings, begun: Store | None = None
) -> tuple[int, dict[str, str]]:
    """Store the results of a batch file, and what each has cost; one that was read before changes nothing.

    Args:
        path: the file.
        store: keeps the replies.
        ledger: keeps what they cost.
        settings: as the batch was written with.
        begun: keeps the replies, too: of a run that was begun anew and is not finished.

    Returns:
        How many replies were stored, and by key why the others could not be; those are asked again.

    Raises:
        InputError: a line that is not one of a batch's results; it is named.
        NotKept: the disk is full or a store read-only. That result is not in the book: reading the file again
            goes on with it.
    """
    stored, failed = 0, {}
    roles = Roles(settings, ledger, offline=True)
    for where, row in json_rows(path):
        parts = _NAME.fullmatch(str(row.get("custom_id")))
        if parts is None or parts[1] not in ROLES:
            raise InputError(
                f"{where}: custom_id {row.get('custom_id')!r} is not one that `--batch-out` wrote"
            )
        name, _, _, key, mark = parts.groups(default="")
        result = hashlib.sha256(json.dumps(row, sort_keys=True).encode("ascii")).hexdigest()
        if ledger.is_booked(result):
            continue
        item, role = bytes.fromhex(key), settings.role(name)
        waits = ledger.waits(key, mark)
        is_asked = waits or not store.get_many([item])
        reply, usage = _reply(row, _served(roles.backend(name)))
        cost = role.price.cost(usage.prompt_tokens, usage.generated_tokens, usage.shared_tokens)
        if isinstance(reply, Failed):
            if is_asked:
                ledger.note_failure(key, name, role.model, reply.reason)
                failed[key] = reply.reason
        elif is_asked:
            for kept in filter(None, (store, begun)):
                kept.keep_many([(item, pack_reply(reply))])
            stored += 1
        if cost > 0 or not isinstance(reply, Failed):
            usable = not isinstance(reply, Failed)
            ledger.pay(key, name, role.model, replace(usage, cost=cost), usable=usable)
        if waits:
            ledger.take_from_batch(key, is_known=not (isinstance(reply, Failed) and reply.charged))
        ledger.book(result)
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


def _reply(row: dict[str, Any], backend: OpenAIBackend) -> tuple[Generated | Failed, Usage]:
    """The reply of one line, and what it took. A failure that was delivered as a reply may be charged for."""
    response = row.get("response")
    if row.get("error") or not isinstance(response, dict):
        return Failed(f"the batch could not answer: {brief(str(row.get('error')), 200)}"), Usage()
    status, body = response.get("status_code"), response.get("body")
    if status != 200 or not isinstance(body, dict):
        return Failed(f"HTTP {status}: {brief(str(body), 200)}"), Usage()
    try:
        reply = backend.read_body(_READ, body)
    except CallFailed as failure:
        usage = usage_of(body)
        return Failed(str(failure), charged=not usage.prompt_tokens), usage
    return reply, reply.usage


def _is_batch(file: Path) -> bool:
    """Whether a file's first line is a request that `write_batch` writes."""
    try:
        _, row = next(iter(json_rows(file)), ("", {}))
    except InputError:
        return False
    return "body" in row and _NAME.fullmatch(str(row.get("custom_id"))) is not None


def _file(path: Path, number: int, of: int) -> Path:
    if of == 1:
        return path
    packed = ".gz" if path.name.endswith(".gz") else ""
    plain = Path(path.name.removesuffix(".gz"))
    return path.with_name(f"{plain.stem}-{number}{plain.suffix}{packed}")
