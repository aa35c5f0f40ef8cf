"""Making a prompt fit: only the ends of documents are ever left out, token by token.

The template's tail, which the score is read from, and the query always stay whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of

Span = tuple[int, int]
"""Start and stop, of characters or of token positions."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A tokenised prompt.

    Attributes:
        ids: token ids, the tokenizer's own prefix (BOS) included.
        offsets: the characters each token stands for. Tokens that share one character overlap.
        cuttable: for each cuttable segment the range of token positions that hold nothing but its text;
            an empty range, in its place, where there is none.
        end: the text that a completion follows on: the template's tail, or else the last words.
        shared: tokens at the beginning that hold nothing but shared text (less spaces at its end), the
            tokenizer's prefix included.
        last: the first token that holds a character of the last segment.
        begins: for each cuttable segment the first token that holds a character of it, which may hold a
            space before it, too. Left out: the first that holds nothing else.
        headings: for each cuttable segment the first token of what the template writes before it on its line
            (its label). Left out: `begins`.
        tail: the first token behind the last cuttable segment that holds more than white space.
        most: for each cuttable segment the most of its tokens that are read, or None for as many as fit.
            Left out: None for all.
    """

    ids: list[int]
    offsets: list[Span]
    cuttable: list[Span]
    end: str = ""
    shared: int = 0
    last: int = 0
    begins: list[int] = field(default_factory=list)
    headings: list[int] = field(default_factory=list)
    tail: int = 0
    most: list[int | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.most:
            object.__setattr__(self, "most", [None] * len(self.cuttable))
        if not self.begins:
            object.__setattr__(self, "begins", [start for start, _ in self.cuttable])
        if not self.headings:
            object.__setattr__(self, "headings", self.begins)


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt that fits.

    Attributes:
        ids: its tokens.
        cut: how many were left out.
        documents: for each cuttable segment the range of its tokens that are left, from the first of its
            heading; empty where none of its own is left.
        tail: as for the prompt that was fitted.
    """

    ids: list[int]
    cut: int
    documents: list[Span]
    tail: int


def fit(encoded: EncodedPrompt, limit: int) -> tuple[list[int], int]:
    """Leave out the ends of documents until the prompt has at most `limit` tokens.

    First what a document has over its own most; then, of several documents, the longest are cut first,
    down to a common length. A character that is several tokens stays whole or goes whole, so up to three
    tokens more than needed may go.

    Returns:
        The ids, and how many tokens were left out.

    Raises:
        InputError: it does not fit without any document text.
    """
    fitted = fit_documents(encoded, limit)
    return fitted.ids, fitted.cut


def fit_documents(encoded: EncodedPrompt, limit: int) -> FittedPrompt:
    """The same as `fit`, with the places where the documents are then.

    Raises:
        InputError: it does not fit without any document text.
    """
    whole = [stop - start for start, stop in encoded.cuttable]
    lengths = [
        size if most is None else min(size, most) for size, most in zip(whole, encoded.most, strict=True)
    ]
    fixed = len(encoded.ids) - sum(whole)
    if fixed > limit:
        raise InputError(
            f"the query and the template alone need {number_of(fixed, 'token')}, but there is room for "
            f"{limit}: "
            f"shorten the query or the instruction, or use a model with a longer context"
        )
    kept: list[int] = []
    documents: list[Span] = []
    at = 0
    levels = _levelled(lengths, limit - fixed)
    for i, (start, stop) in enumerate(encoded.cuttable):
        end = start + levels[i]
        while start < end < stop and encoded.offsets[end][0] < encoded.offsets[end - 1][1]:
            end -= 1
        kept += encoded.ids[at:end]
        own = end > encoded.begins[i]
        documents.append((len(kept) - (end - encoded.headings[i] if own else 0), len(kept)))
        at = stop
    kept += encoded.ids[at:]
    return FittedPrompt(
        kept, len(encoded.ids) - len(kept), documents, len(kept) - len(encoded.ids) + encoded.tail
    )


def _levelled(lengths: Sequence[int], room: int) -> list[int]:
    """Each length, or a common level where it is longer, so that they sum to `room`."""
    levels = [0] * len(lengths)
    left = room
    by_length = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for done, i in enumerate(by_length):
        levels[i] = min(lengths[i], left // (len(lengths) - done))
        left -= levels[i]
    return levels


def inside(offsets: Sequence[Span], span: Span) -> Span:
    """The token positions wholly inside a span of characters, without halves of a character."""
    inside = [i for i, (a, b) in enumerate(offsets) if span[0] <= a < b <= span[1]]
    if not inside:
        return 0, 0
    start, stop = inside[0], inside[-1] + 1
    while start < stop and start > 0 and offsets[start][0] < offsets[start - 1][1]:
        start += 1
    while start < stop < len(offsets) and offsets[stop][0] < offsets[stop - 1][1]:
        stop -= 1
    return start, stop
