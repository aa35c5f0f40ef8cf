"""Fields of a request that a server refuses to take: named by its complaints, left out from then on."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection
from typing import Any

from limrank_plugins.backends.remote.faults import CallFailed

_BUDGETS = ("max_tokens", "max_completion_tokens")
_LOGPROBS = frozenset({"logprobs", "top_logprobs"})  # servers take both or none
_REFUSING_CODES = re.compile(r"unsupported_(parameter|value)|unknown_parameter|extra_forbidden", re.I)
_REFUSING = re.compile(
    r"unsupported|not? (\w+ )?(support|permit|allow|accept|recogni[sz]|availab)|n't (support|accept|allow)|"
    r"unrecogni[sz]ed|unknown|unexpected|extra (inputs?|fields?|propert)|extra_forbidden|additional propert|"
    r"deprecated|only the default|cannot be (used|set)|must be (unset|omitted)",
    re.I,
)
_OF_SIZE = re.compile(
    r"context (length|window|size)|too (large|long|many|big)|exceed|maximum|at most|less than", re.I
)
_LOOKED_AT = 2_000  # characters of a server's complaint


class RefusedFields:
    """What a server was found not to take of our fields. Safe for threads.

    Args:
        without: fields that are left out from the beginning.
        say: gets a sentence about every field that is refused.
    """

    def __init__(self, without: Collection[str], say: Callable[[str], None]) -> None:
        self._without = frozenset(without)
        self._say = say
        self._refused: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._refused | self._without

    def learn(self, failure: CallFailed, own: Collection[str]) -> bool:
        """Whether the server refuses fields of ours without which it can be asked again.

        Args:
            failure: of the call.
            own: the names of the fields that were sent and that nobody but this package asked for.
        """
        if failure.status not in (400, 422):
            return False
        complaint = failure.complaint._replace(message=failure.complaint.message[:_LOOKED_AT])
        if not _REFUSING_CODES.search(complaint.code) and (
            not _REFUSING.search(complaint.message) or _OF_SIZE.search(complaint.message)
        ):
            return False
        named = set(own).intersection(complaint.fields) or {
            name for name in own if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", complaint.message)
        }
        if named & _LOGPROBS:
            named |= _LOGPROBS
        with self._lock:
            refused = self._refused | named
            if refused.issuperset(_BUDGETS):  # an answer without a bound could cost anything
                refused, named = self._refused, named - set(_BUDGETS)
                refused |= named
            self._refused = refused
        for name in sorted(named & set(own)):
            other = _other_budget(name)
            instead = f"{other} is sent instead" if other is not None else "it is left out"
            self._say(f"the server refuses the field {name!r} for this model: {instead} from now on")
        return not named.isdisjoint(own)

    def budget(self, name: str) -> str:
        """The name under which the number of tokens to write is sent: this one, or the other."""
        return _other_budget(name) or name if name in self._refused else name

    def removed_from(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields that are sent."""
        left_out = self._without | (self._refused - set(_BUDGETS))
        return {name: value for name, value in fields.items() if name not in left_out}


def _other_budget(name: str) -> str | None:
    """The other name of the number of tokens to write; None for a field that is none of the two."""
    if name not in _BUDGETS:
        return None
    return _BUDGETS[1 - _BUDGETS.index(name)]
