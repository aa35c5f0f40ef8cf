"""Gold lists by a model, as ReasonRank's were made (arXiv 2508.07050): it reads a group, thinks, orders it.

The model reads what the recipe `reasonrank` will be asked with, and its answer is read by that recipe's
parser. Whether a list is kept is decided when it is exported: see `exports.ExportOptions`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limrank_plugins.backends.protocols import Backend, Generated
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows
from limrank_plugins.outputs import write_json, write_json_lines
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.parsing import parse_order, split_reasoning
from limrank_plugins.wording import number_of
from limrank_synth.gold_groups import chat, group_prompt, shown
from limrank_synth.pointwise_layout import problem
from limrank_synth.records import LabelledPassage, Rejection
from limrank_synth.role_requests import (
    RoleProgram,
    RoleRequest,
    StageError,
    UnusableReply,
    chat_prompt,
    insist,
    plain_text,
)
from limrank_synth.run_files import REJECTED, REPORT, rejection_report, write_rejections
from limrank_synth.run_identity import RunIdentity
from limrank_synth.settings import SynthSettings
from limrank_synth.spool import by_query
from limrank_synth.synth_job import JobProgress, JobResult, run_job

LISTS = "lists.jsonl"


@dataclass(frozen=True, slots=True)
class OrderedList:
    """A model's order of one query's passages.

    Attributes:
        query_id: the query's.
        ids: row ids, best first; all that were shown.
        reasoning: what the model wrote before the order, without tags.
        model: its name.
    """

    query_id: str
    ids: tuple[str, ...]
    reasoning: str
    model: str = ""


def list_order(
    rows: Sequence[LabelledPassage], seed: int, size: int, attempts: int, model: str = ""
) -> RoleProgram[OrderedList | Rejection]:
    """Ask the reasoner for an order of one query's rows.

    An answer that leaves a passage out, names one twice or one that is not there, or comes without
    reasoning, is asked for again.

    Args:
        rows: of one query, at least 2.
        seed: as the export will have it, see `gold_groups.shown`.
        size: likewise.
        attempts: how often it is asked.
        model: put into the list.
    """
    group = shown(rows, seed, size)
    messages = chat(group_prompt("reasonrank", group))
    prompt = chat_prompt(*((message["role"], message["content"]) for message in messages))

    def ask(attempt: int) -> RoleRequest:
        return RoleRequest("reasoner", prompt, attempt)

    def read(reply: Generated) -> OrderedList:
        text = plain_text(reply)
        reasoning = reply.reasoning.strip() or (split_reasoning(text)[0] or "").strip()
        order = parse_order(text, NUMERIC, len(group), tagged=True)
        if order.repaired:
            raise UnusableReply(f"the answer is no complete order of {number_of(len(group), 'passage')}")
        if not reasoning:
            raise UnusableReply("there is an order, but no reasoning before it")
        return OrderedList(rows[0].query_id, tuple(group[i].id for i in order.order), reasoning, model)

    try:
        return (yield from insist(ask, read, attempts))
    except StageError as rejected:
        return Rejection(
            "listing", rows[0].query_id, str(rejected), rows[0].query, is_failure=rejected.is_failure
        )


def make_lists(
    rows: Iterable[LabelledPassage],
    settings: SynthSettings,
    folder: Path,
    *,
    seed: int = 0,
    size: int = 20,
    fresh: bool = False,
    backends: Mapping[str, Backend] | None = None,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    say: Callable[[str], object] = lambda sentence: None,
) -> JobResult[OrderedList | Rejection]:
    """Have the reasoner order every query's rows; started again, it goes on where it was.

    Queries with fewer than two passages are not asked about. Into the folder: `lists.jsonl`,
    `rejected.jsonl`, `report.json` and the ledger.

    Args:
        rows: as they will be exported; rows that cannot be trained on are left out, as there.
        settings: who reasons.
        folder: made if it is not there.
        seed: as for the export.
        size: likewise.
        fresh: begin anew; see `run_job`.
        backends: by role, backends that are already made; see `Roles`.
        on_progress: told about every change.
        say: gets a sentence about what was begun anew.

    Raises:
        InputError: what `run_job` raises.
    """
    groups = [group for group in by_query(row for row in rows if problem(row) is None) if len(group) > 1]
    model = settings.role("reasoner").model
    programs = [list_order(group, seed, size, settings.attempts, model) for group in groups]
    ids = [group[0].query_id for group in groups]
    texts = tuple("\n".join([group[0].query, *(row.passage for row in group)]) for group in groups)
    identity = RunIdentity("lists", "queries with their passages", texts, {"group seed": seed, "size": size})
    with run_job(
        programs,
        ids,
        settings,
        folder,
        identity=identity,
        files=(LISTS, REJECTED, REPORT),
        fresh=fresh,
        backends=backends,
        on_progress=on_progress,
        say=say,
        rejections=lambda result: [result] if isinstance(result, Rejection) else [],
    ) as job:
        lists = [result for result in job.results if isinstance(result, OrderedList)]
        rejections = [result for result in job.results if isinstance(result, Rejection)]
        report = {"queries": len(groups), "lists": len(lists), **rejection_report(rejections), **job.report}
        write_lists(job.work.place / LISTS, lists)
        write_rejections(job.work.place / REJECTED, rejections)
        write_json(job.work.place / REPORT, report)
    return replace(job, report=report)


def write_lists(path: str | os.PathLike[str], lists: Iterable[OrderedList]) -> None:
    """Lists as JSON lines."""
    write_json_lines(
        path,
        (
            {"query_id": entry.query_id, "ids": entry.ids, "thought": entry.reasoning, "model": entry.model}
            for entry in lists
        ),
    )


def read_lists(path: str | os.PathLike[str]) -> dict[str, OrderedList]:
    """The lists of a file that `write_lists` wrote, by query.

    Raises:
        InputError: a line that is none, or a second list for a query; it is named.
    """
    lists: dict[str, OrderedList] = {}
    for where, values in json_rows(path):
        try:
            ids, model = tuple(map(str, values["ids"])), str(values.get("model", ""))
            entry = OrderedList(str(values["query_id"]), ids, str(values["thought"]), model)
        except (KeyError, TypeError) as error:
            raise InputError(f"{where}: this is no list of a query's rows: {error!r}") from error
        if entry.query_id in lists:
            raise InputError(f"{where}: query {entry.query_id!r} had a list before")
        lists[entry.query_id] = entry
    return lists
