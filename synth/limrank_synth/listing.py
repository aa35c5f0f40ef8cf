"""Gold lists by a model, as ReasonRank's were made (arXiv 2508.07050): it reads a group, thinks, orders it.

The model reads what the recipe `reasonrank` will be asked with, and its answer is read by that recipe's
parser. Whether a list is kept is decided when it is exported: see `consistency`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from limrank_plugins.errors import InputError
from limrank_plugins.io import read_lines
from limrank_plugins.readouts.labels import NUMERIC
from limrank_plugins.readouts.reading import read_order, split_thought
from limrank_synth.asking import Asking, Message, Question, Rejected, Reply, Unusable, insist, plain_text
from limrank_synth.groups import chat, group_prompt, shown
from limrank_synth.lines import whole_lines
from limrank_synth.records import Rejection, Row


@dataclass(frozen=True, slots=True)
class OrderedList:
    """A model's order of one query's passages.

    Attributes:
        query_id: the query's.
        ids: row ids, best first; all that were shown.
        thought: its reasoning, without tags.
        model: who said so.
    """

    query_id: str
    ids: tuple[str, ...]
    thought: str
    model: str = ""


def list_order(
    rows: Sequence[Row], seed: int, size: int, attempts: int, model: str = ""
) -> Asking[OrderedList | Rejection]:
    """Ask the reasoner for an order of one query's rows.

    An answer that leaves a passage out, names one twice or one that is not there, or comes without
    reasoning, is asked for again.

    Args:
        rows: of one query, at least 2.
        seed: as the export will have it, see `groups.shown`.
        size: likewise.
        attempts: how often it is asked.
        model: put into the list.
    """
    group = shown(rows, seed, size)
    messages = tuple(Message(one["role"], one["content"]) for one in chat(group_prompt("reasonrank", group)))

    def ask(attempt: int) -> Question:
        return Question("reasoner", messages, attempt)

    def read(reply: Reply) -> OrderedList:
        text = plain_text(reply)
        thought = reply.thought.strip() or (split_thought(text)[0] or "").strip()
        found = read_order(text, NUMERIC, len(group), tagged=True)
        if found.repaired:
            raise Unusable(f"the answer is no complete order of {len(group)} passages")
        if not thought:
            raise Unusable("there is an order, but no reasoning before it")
        return OrderedList(rows[0].query_id, tuple(group[i].id for i in found.order), thought, model)

    try:
        return (yield from insist(ask, read, attempts))
    except Rejected as rejected:
        return Rejection("listing", rows[0].query_id, str(rejected), rows[0].query)


def write_lists(path: str | os.PathLike[str], lists: Iterable[OrderedList]) -> None:
    """Lists as JSON lines."""
    with whole_lines(Path(path)) as write:
        for one in lists:
            write(json.dumps(asdict(one), ensure_ascii=False) + "\n")


def read_lists(path: str | os.PathLike[str]) -> dict[str, OrderedList]:
    """The lists of a file that `write_lists` wrote, by query.

    Raises:
        InputError: a line that is none, or a second list for a query; it is named.
    """
    found: dict[str, OrderedList] = {}
    for number, line in read_lines(path):
        where = f"{os.fspath(path)}, line {number}"
        try:
            data = json.loads(line)
            one = OrderedList(str(data["query_id"]), tuple(map(str, data["ids"])), str(data["thought"]),
                              str(data.get("model", "")))  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{where}: this is no list of a query's rows: {error!r}") from error
        if one.query_id in found:
            raise InputError(f"{where}: query {one.query_id!r} had a list before")
        found[one.query_id] = one
    return found
