"""A prompt is a sequence of segments: what is shared, what may be cut, what is trusted.

A backend that tokenises computes the shared head once per query, cuts nothing but what may be
cut, and encodes what is not trusted so that it can never become a special or added token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby

from limrank_plugins.images import Image


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt.

    Attributes:
        text: the characters.
        trusted: it comes from the template; only then may it hold special tokens such as `<think>`.
        cuttable: its end may be left out where the prompt does not fit (only documents ever are).
        shared: it is the same for every document of the query, and so is all before it.
        role: `"system"`, `"user"` or `"assistant"` in a chat, whose markers the model's own chat template
            puts around it; empty in a raw completion. An assistant's segment at the end is the start of
            the completion, which the model continues.
        image: an image instead of text, which is then empty.
        most: the most tokens of it that are read, where it is cuttable; None: as many as fit.
        written: a model wrote it: it is reasoning that is read on from.
    """

    text: str
    trusted: bool = True
    cuttable: bool = False
    shared: bool = False
    role: str = ""
    image: Image | None = None
    most: int | None = None
    written: bool = False

    def __hash__(self) -> int:
        # Equal segments have equal texts, few unequal ones do, and a text knows its hash.
        return hash(self.text)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Segments in reading order."""

    segments: tuple[Segment, ...]

    def __hash__(self) -> int:
        # As for a segment, and in one call instead of one for each.
        return hash(tuple([segment.text for segment in self.segments]))

    @property
    def text(self) -> str:
        """The whole prompt as one string."""
        return "".join(segment.text for segment in self.segments)

    @property
    def is_chat(self) -> bool:
        """Whether it is a chat rather than a raw completion."""
        return any(segment.role for segment in self.segments)

    @property
    def images(self) -> tuple[Image, ...]:
        """Its images, in reading order."""
        return tuple(segment.image for segment in self.segments if segment.image is not None)

    def messages(self) -> list[tuple[str, tuple[Segment, ...]]]:
        """A chat's messages: neighbouring segments of one role belong to one message."""
        grouped = groupby(self.segments, key=lambda segment: segment.role)
        return [(role, tuple(segments)) for role, segments in grouped]

    @property
    def shared_text(self) -> str:
        """The head that all documents of the query have in common."""
        return "".join(segment.text for segment in self.segments if segment.shared)

    def then(self, *segments: Segment) -> Prompt:
        """This prompt, continued; in a chat, by the assistant."""
        if self.is_chat:
            segments = tuple(replace(segment, role="assistant") for segment in segments)
        return Prompt(self.segments + segments)


CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
"""What a terminal or a reader of columns could act on; line ends and tabs are among them."""


def clean_text(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD; no tokenizer or UTF-8 file can hold them."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
