"""What a stage asks a model, what it gets back, and how it insists on an answer it can read."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.segments import clean_text

T = TypeVar("T")


class Message(NamedTuple):
    """One message of a chat."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A chat that one of the roles is asked to continue.

    Attributes:
        role: `"writer"`, `"reasoner"`, `"judge"` or `"second"`.
        messages: what it reads.
        attempt: how often an answer to this question could not be used.
        sample: which of several independent answers this is.
    """

    role: str
    messages: tuple[Message, ...]
    attempt: int = 0
    sample: int = 0

    def key(self, settings: str) -> str:
        """The prompt's hash: 64 hex digits, equal for equal questions to a role with these settings."""
        parts = [settings, self.role, self.messages, self.attempt, self.sample]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        text: the answer.
        thought: what a reasoning model wrote before it, where the server keeps the two apart.
        finish: `"stop"`, `"length"`, or what the server says.
        prompt_tokens, written_tokens: as the server counted them.
        cost: in dollars, by the role's prices.
    """

    text: str
    thought: str = ""
    finish: str = "stop"
    prompt_tokens: int = 0
    written_tokens: int = 0
    cost: float = 0.0


class Unusable(Exception):
    """An answer that cannot be read; its message says why.

    Attributes:
        kind: what is wrong with it, for the counts.
    """

    def __init__(
        self, reason: str, kind: Literal["malformed", "refused", "empty", "cut"] = "malformed"
    ) -> None:
        super().__init__(reason)
        self.kind = kind


class Rejected(Exception):
    """A stage gave up on an item; its message is the reason."""


Asking = Generator[list[Question], list[Reply], T]
"""A stage: yields questions, receives the replies in their order, returns what it made of them."""

_REFUSAL = re.compile(
    r"\s*(?:i['’]?m (?:very |so )?sorry\b|sorry, |i (?:can(?:no|['’])t|am unable to|won['’]t)\b|as an ai\b)",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```[a-zA-Z]*\s*(.*?)```", re.DOTALL)


def insist(
    ask: Callable[[int], Question],
    read: Callable[[Reply], T],
    attempts: int,
    unusable: Counter[str] | None = None,
) -> Asking[T]:
    """Ask until an answer can be read.

    Args:
        ask: the question of an attempt, counted from 0.
        read: makes something of a reply, or raises `Unusable`.
        attempts: how often, at least 1.
        unusable: where every answer that cannot be read is counted, by its kind.

    Raises:
        Rejected: none of the answers could be read; it says why the last one could not.
    """
    problem = ""
    for attempt in range(attempts):
        (reply,) = yield [ask(attempt)]
        try:
            return read(reply)
        except Unusable as found:
            problem = str(found)
            if unusable is not None:
                unusable[found.kind] += 1
    raise Rejected(f"{problem} (asked {attempts} times)" if attempts > 1 else problem)


def plain_text(reply: Reply) -> str:
    """The answer's text.

    Raises:
        Unusable: it is empty, a refusal, or was cut off.
    """
    # First: a reasoning model that ran out of tokens while it thought has said nothing, either.
    if reply.finish == "length":
        raise Unusable("the answer was cut off at its budget of tokens", "cut")
    text = reply.text.strip()
    if not text:
        raise Unusable("the answer is empty", "empty")
    if is_refusal(text):
        raise Unusable("the model refused", "refused")
    return text


def is_refusal(text: str) -> bool:
    """Whether an answer, after any thought, begins as models do when they will not answer."""
    return _REFUSAL.match(split_reasoning(text)[1].strip() or text) is not None


def json_object(reply: Reply) -> dict[str, Any]:
    """The JSON object in an answer, with or without a thought before it, a code fence or words around it.

    Raises:
        Unusable: there is none.
    """
    text = plain_text(reply)
    # What a model thinks may hold drafts of the object.
    text = split_reasoning(text)[1] or text
    fenced = _FENCE.search(text)
    body = fenced[1] if fenced is not None else text
    start, end = body.find("{"), body.rfind("}")
    try:
        found = json.loads(body[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError) as error:
        raise Unusable(f"the answer is not JSON ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise Unusable("the answer holds no JSON object")
    return found


def text_field(found: dict[str, Any], name: str) -> str:
    """A field of an answer that must be a text with at least one word.

    Raises:
        Unusable: it is missing, or something else.
    """
    value = found.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Unusable(f"the answer's field {name!r} is missing or empty")
    # JSON can escape half a surrogate pair, which nothing after this could encode.
    return clean_text(value).strip()
