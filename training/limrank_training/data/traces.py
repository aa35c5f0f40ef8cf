"""Reasoning traces as models wrote them: the tags around one are taken off, any other tag is refused.

Raw output of R1 is `<think>…</think> true`. Learned as it is, it would stand before a second `</think>`,
while inference reads the verdict behind the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.labels import NUMERIC, TAG
from limrank_plugins.readouts.usable import can_be_seen
from limrank_training.data.passage_groups import PassageGroup

_VERDICT = re.compile(r"\W*(true|yes|false|no)\W*", re.IGNORECASE)
_TRUE = frozenset({"true", "yes"})


class Trace(NamedTuple):
    """A trace without tags of reasoning, and whether some were taken off it."""

    text: str
    repaired: bool = False


def passage_trace(trace: str, relevant: bool, where: str) -> Trace:
    """The trace of a judged passage.

    Args:
        trace: as it stands in the row; perhaps `<think>…</think>` and a verdict.
        relevant: the row's own verdict.
        where: the row, for messages.

    Raises:
        InputError: it holds tags of reasoning otherwise, or another verdict.
    """

    def agrees(answer: str) -> bool:
        verdict = _VERDICT.fullmatch(answer)
        return verdict is not None and (verdict[1].lower() in _TRUE) == relevant

    return _untagged(trace, f"the verdict {str(relevant).lower()}", agrees, where)


def group_trace(group: PassageGroup) -> Trace:
    """The trace of a group, behind whose reasoning there may be its choice or its order.

    Raises:
        InputError: as for `passage_trace`.
    """

    def agrees(answer: str) -> bool:
        labels = re.findall(r"\[[0-9]{1,6}\]", answer)
        names = NUMERIC.shown(len(group.passages))
        if len(labels) == 1:
            return bool(labels[0] == names[group.chosen()])
        return bool(labels) and labels == [names[i] for i in group.best_first()]

    return _untagged(group.trace, "the row's own answer", agrees, group.where)


def _untagged(trace: str, expected: str, agrees: Callable[[str], bool], where: str) -> Trace:
    tags = [tag for tag in TAG.finditer(trace) if tag[2].lower() == "think"]
    if not tags:
        return Trace(trace)
    closing = tags[-1]
    opens = len(tags) == 2 and not tags[0][1] and not trace[: tags[0].start()].strip()
    if not closing[1] or not (opens or len(tags) == 1):
        raise InputError(
            f"{where}: the trace holds {tags[0][0]!r}, which would end the reasoning early and leave the "
            f"verdict in the wrong place: give the reasoning without tags, or as <think>…</think> with its "
            f"verdict"
        )
    reasoning = trace[tags[0].end() if opens else 0 : closing.start()].strip()
    answer = TAG.sub(" ", trace[closing.end() :]).strip()
    if not can_be_seen(reasoning):
        raise InputError(f"{where}: the trace holds no reasoning before its {closing[0]!r}")
    if answer and not agrees(answer):
        raise InputError(
            f"{where}: behind {closing[0]!r} the trace says {answer[:80]!r}, which is not {expected}: "
            f"leave the row out, or correct one of the two"
        )
    return Trace(reasoning, repaired=True)
