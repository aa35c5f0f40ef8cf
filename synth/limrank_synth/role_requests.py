"""What a stage asks a role, and how it insists on a completion that it can read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.readouts.parsing import is_refusal, split_reasoning
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
    """

    def __init__(
        self, reason: str, kind: Literal["malformed", "refused", "empty", "cut"] = "malformed"
    ) -> None:
        super().__init__(reason)
        self.kind = kind


class StageError(Exception):
    """A stage gave up on an item; its message is the reason."""


_FENCE = re.compile(r"```[a-zA-Z]*\s*(.*?)```", re.DOTALL)


def insist(
    ask: Callable[[int], RoleRequest],
    read: Callable[[Generated], T],
    attempts: int,
    unusable: Counter[str] | None = None,
) -> RoleProgram[T]:
    """Ask until a completion can be read.

    Args:
        ask: the request of an attempt, counted from 0.
        read: makes something of a reply, or raises `UnusableReply`.
        attempts: how often, at least 1.
        unusable: where every completion that cannot be read is counted, by its kind.

    Raises:
        StageError: none could be read; it says why the last one could not.
    """
    problem = ""
    for attempt in range(attempts):
        (reply,) = yield [ask(attempt)]
        try:
            # JSON can escape half a surrogate pair, which nothing after this could encode.
            clean = replace(reply, text=clean_text(reply.text), reasoning=clean_text(reply.reasoning))
            return read(clean)
        except UnusableReply as unread:
            problem = str(unread)
            if unusable is not None:
                unusable[unread.kind] += 1
    raise StageError(f"{problem} (asked {attempts} times)" if attempts > 1 else problem)


def plain_text(reply: Generated) -> str:
    """The completion.

    Raises:
        UnusableReply: it is empty, a refusal, or was cut off.
    """
    # First: a reasoning model that ran out of tokens while it reasoned has completed nothing.
    if reply.finish == "length":
        raise UnusableReply("the answer was cut off at its budget of tokens", "cut")
    text = reply.text.strip()
    if not text:
        raise UnusableReply("the answer is empty", "empty")
    if is_refusal(text):
        raise UnusableReply("the model refused", "refused")
    return text


def json_object(reply: Generated) -> dict[str, Any]:
    """The JSON object in a completion, with or without reasoning before it, a code fence or words around it.

    Raises:
        UnusableReply: there is none.
    """
    text = plain_text(reply)
    # Reasoning may hold drafts of the object.
    text = split_reasoning(text)[1] or text
    fenced = _FENCE.search(text)
    body = fenced[1] if fenced is not None else text
    start, end = body.find("{"), body.rfind("}")
    try:
        fields = json.loads(body[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError) as error:
        raise UnusableReply(f"the answer is not JSON ({type(error).__name__})") from error
    if not isinstance(fields, dict):
        raise UnusableReply("the answer holds no JSON object")
    return fields


def text_field(fields: dict[str, Any], name: str) -> str:
    """A field of a completion that must be a text with at least one word.

    Raises:
        UnusableReply: it is missing, or something else.
    """
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UnusableReply(f"the answer's field {name!r} is missing or empty")
    # JSON can escape half a surrogate pair, which nothing after this could encode.
    return clean_text(value).strip()
