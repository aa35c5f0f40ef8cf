"""What a model can be asked, and what it answers.

Each capability is a small protocol with one method that takes a list of requests and returns as
many replies, in order. A method may be plain or `async`: the driver runs either from either side.
A reply for a single request may be `Failed`; a problem that concerns every request is raised.

A method may take a second argument, `arrived`, and call it with a request's position and reply as soon as
the reply is known: what arrived is stored at once, so a kill in the middle of a batch loses none of it.

`backends/` holds the implementations; `ScriptedBackend` is the one for tests, yours and ours.

A backend whose answers cost less than looking them up has an attribute `stored = False`; no
store keeps them then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from limrank_plugins.data import Usage
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt

Vector = npt.NDArray[np.float32]


# ---- requests -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """Which label comes next? Answered by a `LabelReading`.

    Attributes:
        prompt: ends right before the label.
        labels: the label strings, each one token after the prompt, for example `(" true", " false")`.
        ordered: the labels are the steps of a scale, the best first; for servers that are asked about a scale
            in another way. It follows from the prompt, so it is no part of what a reply is stored under.
    """

    method: ClassVar[str] = "read_labels"
    prompt: Prompt
    labels: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class WrittenOrder:
    """The form of a text that is an order: `[2] > [1] > [3]`, every label once.

    Attributes:
        labels: what the documents are called, brackets included.
        behind: what the order comes behind, such as `"</think>"`; empty: it begins at once.
        opening: what is written between that and the order, such as `"<answer>"`.
    """

    labels: tuple[str, ...]
    behind: str = ""
    opening: str = ""


@dataclass(frozen=True, slots=True)
class Generate:
    """Write on. Answered by a `Generated`.

    Attributes:
        prompt: where to start.
        stop: writing ends when the text holds one of these; it is left out of the answer's text.
        max_tokens: the budget; at least 1.
        temperature: 0 is greedy and ignores the next two.
        top_p: nucleus sampling.
        seed: of the drawing.
        sample: which draw this is; the same request always gives the same text. At temperature 0, where a
            server may answer otherwise all the same, it asks again.
        labels: if writing ended at `stop`, the labels to read at the very next position, so that
            a verdict costs no second prompt. Empty: read nothing.
        order: the form of what is to be written, for backends that can hold a model to it. It follows from
            the prompt, so it is no part of what a reply is stored under.
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
    order: WrittenOrder | None = None


@dataclass(frozen=True, slots=True)
class Encode:
    """Turn a text, with or without pictures, into a vector. Answered by an `Embedded`.

    Attributes:
        text: of any length.
        role: `"query"` or `"passage"`.
        images: shown before the text.
        windows: of a text that is longer than the model reads, the most windows that are read, each with a
            vector of its own. A backend that knows no windows reads the beginning, as with 1.
        heading: how many of the text's first characters stand before every window (a title).
    """

    method: ClassVar[str] = "encode"
    text: str
    role: str = "passage"
    images: tuple[Image, ...] = ()
    windows: int = 1
    heading: int = 0


@dataclass(frozen=True, slots=True)
class ScorePair:
    """How well does the passage answer the query? Answered by `Numbers` with one number."""

    method: ClassVar[str] = "score_pairs"
    query: str
    passage: str


@dataclass(frozen=True, slots=True)
class Classify:
    """How well does each label fit the text, all labels read together? `Numbers`: one logit per label."""

    method: ClassVar[str] = "classify"
    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely is it that the prompt goes on like this? `Numbers`: the log-probability of each token.

    Attributes:
        prompt: ends right before the continuation.
        continuation: untrusted text; at least one token.
        ends: the token that ends a text is asked for, too, as the last one.
    """

    method: ClassVar[str] = "likelihood"
    prompt: Prompt
    continuation: str
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Attend:
    """How much attention do the prompts' tails pay to each document? Answered by an `Attended`.

    A prompt's tail is everything behind its last cuttable segment but the white space there, the chat
    template's own end included; the documents are its cuttable segments, each with what the template writes
    before it on its line (its label). One of which nothing fits has no token at all.

    Attributes:
        prompts: equal up to their tails, which alone are computed again for each.
    """

    method: ClassVar[str] = "attend"
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """No backend is asked this: the reply to a request came to nothing, so that no store may hold it.

    Answered by a `Failed` that says nothing.
    """

    method: ClassVar[str] = "forget"
    request: Request


Request = ReadLabels | Generate | Encode | ScorePair | Classify | Likelihood | Attend | Forget


# ---- replies ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LabelReading:
    """What is known of the labels, in their order.

    Attributes:
        logits: or log-probabilities: any common offset will do.
        usage: what it cost.
        cut_tokens: tokens that did not fit.
        probability: of the first of two labels, where that is what a server said: logits round it.
    """

    logits: tuple[float, ...]
    usage: Usage = Usage()
    cut_tokens: int = 0
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """What was written.

    Attributes:
        text: without the stop string.
        finish: `"stop"` (a stop string came), `"length"` (the budget ended) or `"end"` (the model
            ended its answer by itself).
        reading: the labels at the position after the stop string, where they were asked for.
        usage: of all of it, what the reading cost included; `reading.usage` is not added to it.
        reasoning: what the model wrote before the text, where a server returns the two apart.
    """

    text: str
    finish: str
    reading: LabelReading | None = None
    usage: Usage = Usage()
    cut_tokens: int = 0
    reasoning: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A part of a text that was read by itself.

    Attributes:
        vector: float32, shape (dimensions,).
        start: where it begins in the text, in characters.
        end: where it ends.
    """

    vector: Vector
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """A vector, float32, shape (dimensions,).

    Attributes:
        vector: of what was read of the text; of one that was read in windows, of its beginning.
        usage: what it cost.
        cut_tokens: tokens of the text that were not read; of a text many times as long as what is read, about
            how many.
        windows: of a text that was read in windows, all of them, the beginning first; empty otherwise.
    """

    vector: Vector
    usage: Usage = Usage()
    cut_tokens: int = 0
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Numbers:
    """Finite numbers, in the order asked for. `cut_tokens`: tokens of the documents that were not read."""

    values: tuple[float, ...]
    usage: Usage = Usage()
    cut_tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Attended:
    """Attention by prompt, document and token: `weights[prompt][document]` has shape (tokens,), float32.

    A token's value is the attention it gets, averaged over the tokens of the tail and summed over
    layers and heads. Two prompts' arrays for one document have the same length.
    """

    weights: tuple[tuple[Vector, ...], ...]
    usage: Usage = Usage()
    cut_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """This one request could not be answered; never turned into a number.

    Attributes:
        reason: why, in one sentence without secrets.
        usage: what it cost all the same, where that is known.
        charged: a server may have charged for it, though no usable reply came; `usage.uncertain` says for
            how many tries, where a backend counts them.
    """

    reason: str
    usage: Usage = Usage()
    charged: bool = False


Reply = LabelReading | Generated | Embedded | Numbers | Attended | Failed

Arrived = Callable[[int, Reply], None]
"""Takes a request's position in its batch and its reply. Safe to call from any thread."""

T = TypeVar("T")
Program = Generator[list[Request], list[Reply], T]
"""Yields questions, receives the answers, returns a result: all of the thinking, none of the I/O."""


# ---- capabilities -------------------------------------------------------------------------------


@runtime_checkable
class Backend(Protocol):
    """A way to run a model. `identity` names model, revision and precision: it keys stored answers.

    One that knows whether its model sees says so in an attribute `shows_images`. One that asks about several
    passages in one input says so, and what to do against it, in an attribute `leaning`.
    """

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
class ScoresPairs(Protocol):
    """Can score a query and a passage."""

    def score_pairs(self, requests: Sequence[ScorePair]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Answer each with `Numbers` of one number, or `Failed`."""


@runtime_checkable
class CountsCuts(Protocol):
    """Can say how much of a document it would not read."""

    def cuts(self, requests: Sequence[Request]) -> Sequence[int]:
        """For each request the tokens that would be left out; no model is run.

        Raises:
            InputError: a request that cannot be asked.
        """


@runtime_checkable
class ReadsAtMost(Protocol):
    """Reads a number of tokens of a text, and no more of a longer one."""

    @property
    def reads_at_most(self) -> int | None:
        """The number, which may count what stands beside the text, too; None: it is not known."""


@runtime_checkable
class Classifies(Protocol):
    """Can say how well labels fit a text."""

    def classify(self, requests: Sequence[Classify]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Answer each with `Numbers`, one per label, or `Failed`."""


@runtime_checkable
class ReadsLikelihood(Protocol):
    """Can say how likely a continuation is."""

    def likelihood(self, requests: Sequence[Likelihood]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Answer each with `Numbers`, one per token of the continuation, or `Failed`."""


@runtime_checkable
class Attends(Protocol):
    """Can show its attention."""

    def attend(self, requests: Sequence[Attend]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Answer each with an `Attended` or `Failed`."""


@runtime_checkable
class ChecksLabels(Protocol):
    """Can say before any work whether labels are usable (one token each, all different)."""

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token after the text `after`."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model before it is asked anything.

    Attributes:
        names: what it is called: its folder, hub name or name on a server, and that of its adapter.
        chats: whether it can be asked in a chat.
        has_files: whether the names are those of files, among which there may be a card.
    """

    names: tuple[str, ...]
    chats: bool
    has_files: bool = True


@runtime_checkable
class KnowsModel(Protocol):
    """Can say which model it runs."""

    facts: ModelFacts


@runtime_checkable
class Closes(Protocol):
    """Holds something that wants to be released."""

    def close(self) -> None:
        """Release it. May be called twice."""
