"""What a stage asks a role, and how it insists on a completion that it can read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.files import why_no_json
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.readouts.usable import can_be_seen, nothing_usable
from limrank_plugins.segments import Prompt, Segment, clean_text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RoleRequest:
    """A chat that one of the roles is to continue.

    Attributes:
        role: `"writer"`, `"reasoner"`, `"judge"` or `"second"`.
        prompt: what it reads, see `chat_prompt`.
        attempt: how many completions of this prompt could not be used.
        sample: which of several independent completions this is.
    """

    role: str
    prompt: Prompt
    attempt: int = 0
    sample: int = 0


RoleProgram = Generator[list[RoleRequest], list[Generated], T]
"""A stage: yields requests, receives the replies in their order, returns what it made of them."""


def chat_prompt(*messages: tuple[str, str]) -> Prompt:
    """Messages (`"system"` or `"user"`, and its text) as a prompt in which no text can become a marker."""
    return Prompt(tuple(Segment(text, trusted=False, role=role) for role, text in messages))


class UnusableReply(Exception):
    """A completion that cannot be read; its message says why.

    Attributes:
        kind: what is wrong with it, for the counts.
        is_nothing: it held nothing usable (`limrank_plugins.readouts.usable`).
    """

    def __init__(
        self,
        reason: str,
        kind: Literal["malformed", "refused", "empty", "cut"] = "malformed",
        *,
        is_nothing: bool = False,
    ) -> None:
        super().__init__(reason)
        self.kind, self.is_nothing = kind, is_nothing


class StageError(Exception):
    """A stage gave up on an item; its message is the reason.

    Attributes:
        is_failure: a completion held nothing usable, so the same command asks again; else what was
            written was rejected.
    """

    def __init__(self, reason: str, *, is_failure: bool = False) -> None:
        super().__init__(reason)
        self.is_failure = is_failure


_FENCE = re.compile(r"```[a-zA-Z]*\s*(.*?)```", re.DOTALL)


def insist(
    ask: Callable[[int], RoleRequest],
    read: Callable[[Generated], T],
    attempts: int,
    unusable: Counter[str] | None = None,
) -> RoleProgram[T]:
    """Ask until a completion can be read.

    One with nothing usable that an earlier run got does not count: this run asks on.

    Args:
        ask: the request of an attempt, counted from 0.
        read: makes something of a reply, or raises `UnusableReply`.
        attempts: how often, at least 1.
        unusable: where every completion that cannot be read is counted, by its kind.

    Raises:
        StageError: none could be read; it says why the last one could not.
    """
    problem, is_failure = "", False
    attempt = counted = 0
    while counted < attempts:
        (reply,) = yield [ask(attempt)]
        attempt += 1
        try:
            # JSON can escape half a surrogate pair, which nothing after this could encode.
            clean = replace(reply, text=clean_text(reply.text), reasoning=clean_text(reply.reasoning))
            return read(clean)
        except UnusableReply as unread:
            problem = str(unread)
            if unusable is not None:
                unusable[unread.kind] += 1
            if not (unread.is_nothing and reply.usage.cached):
                counted += 1
                is_failure = is_failure or unread.is_nothing
    problem = f"{problem} (asked {attempt} times)" if attempt > 1 else problem
    raise StageError(problem, is_failure=is_failure)


def check_usable(reply: Generated) -> None:
    """Raise an `UnusableReply` for a completion with nothing usable in it."""
    nothing = nothing_usable(reply.text, reply.finish)
    if nothing is not None:
        raise UnusableReply(nothing.reason, nothing.kind, is_nothing=True)


def plain_text(reply: Generated) -> str:
    """The completion.

    Raises:
        UnusableReply: it holds nothing usable, or was cut off.
    """
    check_usable(reply)
    if reply.finish == "length":
        raise UnusableReply("the answer was cut off at its budget of tokens", "cut")
    return reply.text.strip()


def json_object(reply: Generated) -> dict[str, Any]:
    """The JSON object in a completion, with or without reasoning before it, a code fence or words around it.

    Raises:
        UnusableReply: there is none.
    """
    text = plain_text(reply)
    text = split_reasoning(text)[1]  # reasoning may hold drafts of the object
    fenced = _FENCE.search(text)
    body = fenced[1] if fenced is not None else text
    start, end = body.find("{"), body.rfind("}")
    try:
        fields = json.loads(body[start : end + 1]) if 0 <= start < end else None
    except json.JSONDecodeError as error:
        raise UnusableReply("the answer is not JSON") from error
    except (ValueError, RecursionError) as error:
        raise UnusableReply(f"the answer cannot be read: {why_no_json(error)}") from error
    if not isinstance(fields, dict):
        raise UnusableReply("the answer holds no JSON object")
    return fields


def text_field(fields: dict[str, Any], name: str) -> str:
    """A field of a completion that must be a text with at least one word.

    Raises:
        UnusableReply: it is missing, or something else.
    """
    value = fields.get(name)
    if not isinstance(value, str) or not can_be_seen(value):
        raise UnusableReply(f"the answer's field {name!r} is missing or empty")
    # JSON can escape half a surrogate pair, which nothing after this could encode.
    return clean_text(value).strip()
