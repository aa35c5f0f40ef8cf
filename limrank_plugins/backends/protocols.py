"""What a model can be asked, and what it answers.

Each capability is a small protocol with one method that takes a list of requests and returns as
many replies, in order. A method may be plain or `async`: the driver runs either from either side.
A reply for a single request may be `Failed`; a problem that concerns every request is raised.

`backends/` holds the implementations; `ScriptedBackend` is the one for tests, yours and ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Prompt

Vector = npt.NDArray[np.float32]


# ---- requests -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """Which label comes next? Answered by a `LabelReading`.

    Attributes:
        prompt: ends right before the label.
        labels: the label strings, each one token after the prompt, for example `(" true", " false")`.
    """

    method: ClassVar[str] = "read_labels"
    prompt: Prompt
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Generate:
    """Write on. Answered by a `Generated`.

    Attributes:
        prompt: where to start.
        stop: writing ends when the text holds one of these; it is left out of the answer's text.
        max_tokens: the budget; at least 1.
        temperature: 0 is greedy and ignores the three below.
        top_p: nucleus sampling.
        seed, sample: which random draw this is; the same request always gives the same text.
        labels: if writing ended at `stop`, the labels to read at the very next position, so that
            a verdict costs no second prompt. Empty: read nothing.
    """

    method: ClassVar[str] = "generate"
    prompt: Prompt
    stop: tuple[str, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    sample: int = 0
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encode:
    """Turn a text into a vector. Answered by an `Embedded`. `role` is `"query"` or `"passage"`."""

    method: ClassVar[str] = "encode"
    text: str
    role: str = "passage"


Request = ReadLabels | Generate | Encode


# ---- replies ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LabelReading:
    """Logits (or log-probabilities: any common offset will do) in the order of the labels."""

    logits: tuple[float, ...]
    usage: Usage = Usage()
    cut_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Generated:
    """What was written.

    Attributes:
        text: without the stop string.
        finish: `"stop"` (a stop string came), `"length"` (the budget ended) or `"end"` (the model
            ended its answer by itself).
        reading: the labels at the position after the stop string, where they were asked for.
    """

    text: str
    finish: str
    reading: LabelReading | None = None
    usage: Usage = Usage()
    cut_tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """A vector, float32, shape (dimensions,)."""

    vector: Vector
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Failed:
    """This one request could not be answered; never turned into a number."""

    reason: str
    usage: Usage = Usage()


Reply = LabelReading | Generated | Embedded | Failed

T = TypeVar("T")
Program = Generator[list[Request], list[Reply], T]
"""Yields questions, receives the answers, returns a result: all of the thinking, none of the I/O."""


# ---- capabilities -------------------------------------------------------------------------------


@runtime_checkable
class Backend(Protocol):
    """A way to run a model. `identity` names model, revision and precision: it keys stored answers."""

    name: str

    @property
    def identity(self) -> str:
        """What must be equal for two answers to be interchangeable."""


@runtime_checkable
class ReadsLabels(Protocol):
    """Can read the logits of given labels at the next position."""

    def read_labels(self, requests: Sequence[ReadLabels]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Answer each with a `LabelReading` or `Failed`."""


@runtime_checkable
class Generates(Protocol):
    """Can write text."""

    def generate(self, requests: Sequence[Generate]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Answer each with a `Generated` or `Failed`."""


@runtime_checkable
class Encodes(Protocol):
    """Can turn texts into vectors."""

    def encode(self, requests: Sequence[Encode]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Answer each with an `Embedded` or `Failed`."""


@runtime_checkable
class ChecksLabels(Protocol):
    """Can say before any work whether labels are usable (one token each, all different)."""

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token after the text `after`."""


@runtime_checkable
class Closes(Protocol):
    """Holds something that wants to be released."""

    def close(self) -> None:
        """Release it. May be called twice."""


_FORMAT = 1
"""Of packed replies; a change of it makes older stored answers unknown rather than misread."""

# ---- requests and replies in the store ----------------------------------------------------------


def request_key(identity: str, request: Request) -> bytes:
    """32 bytes that are equal for equal questions to interchangeable models, and only for those."""
    parts: list[Any] = [_FORMAT, identity, type(request).method]
    if isinstance(request, Encode):
        parts += [request.role, request.text]
    else:
        parts.append([(s.text, s.trusted, s.cuttable, s.role) for s in request.prompt.segments])
        parts.append(request.labels)
        if isinstance(request, Generate):
            drawn = request.temperature > 0
            parts += [request.stop, request.max_tokens, request.temperature]
            parts.append([request.top_p, request.seed, request.sample] if drawn else None)
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()


def pack_reply(reply: Reply) -> bytes:
    """A reply as bytes for the store. `Failed` is never stored."""
    if isinstance(reply, Embedded):
        return reply.vector.astype("<f4", copy=False).tobytes()
    if isinstance(reply, LabelReading):
        body: dict[str, Any] = {"logits": reply.logits, "cut": reply.cut_tokens}
    elif isinstance(reply, Generated):
        body = {"text": reply.text, "finish": reply.finish, "cut": reply.cut_tokens}
        body["logits"] = reply.reading.logits if reply.reading else None
    else:
        raise InputError(f"a {type(reply).__name__} reply cannot be stored")
    return json.dumps(body, ensure_ascii=True).encode("ascii")


def unpack_reply(request: Request, packed: bytes) -> Reply:
    """The stored reply to this request, marked as `cached` in its usage."""
    usage = Usage(cached=1)
    if isinstance(request, Encode):
        return Embedded(np.frombuffer(packed, dtype="<f4").astype(np.float32), usage)
    body = json.loads(packed)
    if isinstance(request, ReadLabels):
        return LabelReading(tuple(body["logits"]), usage, body["cut"])
    reading = None if body["logits"] is None else LabelReading(tuple(body["logits"]))
    return Generated(body["text"], body["finish"], reading, usage, body["cut"])


def repeated(reply: Reply) -> Reply:
    """The same reply, given again at no cost."""
    return replace(reply, usage=Usage(cached=1))
