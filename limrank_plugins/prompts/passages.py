"""How a document is written into a prompt: its title, its white space, and how much of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.words import word_ends, words_of

_PLACE = re.compile(r"\{\{ (title|text) \}\}")

WhiteSpace = Literal["keep", "trim", "single"]
"""A passage's white space: as it is; without that around it; every run of it as one space."""


@dataclass(frozen=True, slots=True)
class PassageLimit:
    """The most of a passage that a model reads: words (see `limrank_plugins.words`) or the model's tokens."""

    size: int
    unit: Literal["words", "tokens"]

    def __str__(self) -> str:
        return f"{self.size} {self.unit}"


def passage_limit(text: object) -> PassageLimit | None:
    """The limit in `"300 words"`, `"512-tokens"` or, for no limit, `"none"`.

    Raises:
        InputError: it is no limit.
    """
    if text == "none":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,6})[ -]?(words|tokens)", text) if isinstance(text, str) else None
    if match is None:
        raise InputError(
            f"a passage limit is a number of words or tokens, as in '300-words' or '512-tokens', or 'none', "
            f"but got {text!r}"
        )
    return PassageLimit(int(match[1]), "words" if match[2] == "words" else "tokens")


@dataclass(frozen=True, slots=True)
class PassageLayout:
    """How a template writes a document.

    Attributes:
        titled: what is written for a document that has a title; holds `{{ title }}` and `{{ text }}`.
        white_space: what becomes of the passage's white space.
        limit: the most of it that is read, title included; None: as much as fits.

    Raises:
        InputError: a value that cannot be used.
    """

    titled: str = "{{ title }} {{ text }}"
    white_space: WhiteSpace = "keep"
    limit: PassageLimit | None = None

    def __post_init__(self) -> None:
        if sorted(_PLACE.findall(self.titled)) != ["text", "title"]:
            raise InputError(
                f"titled must hold {{{{ title }}}} and {{{{ text }}}} once each, but is {self.titled!r}"
            )
        if self.white_space not in get_args(WhiteSpace):
            choices = ", ".join(get_args(WhiteSpace))
            raise InputError(f"white_space must be one of {choices}, but is {self.white_space!r}")

    @property
    def most_tokens(self) -> int | None:
        """The limit in tokens, which only a backend can count; None where there is none."""
        return self.limit.size if self.limit is not None and self.limit.unit == "tokens" else None

    def written(self, document: Document) -> str:
        """The document as the prompt has it, words over the limit left out."""
        text = self._whole(document)
        if self.limit is None or self.limit.unit == "tokens":
            return text
        ends = word_ends(text)
        return text[: ends[self.limit.size - 1]] if len(ends) > self.limit.size else text

    def words_cut(self, document: Document) -> int:
        """How many words are left out; 0 for a limit in tokens, which the backend counts."""
        if self.limit is None or self.limit.unit == "tokens":
            return 0
        return max(0, words_of(self._whole(document)) - self.limit.size)

    def _whole(self, document: Document) -> str:
        text = document.text
        if document.title:
            # Filled in one go: a title that holds "{{ text }}" is just a title.
            pieces = _PLACE.split(self.titled)
            values = {"title": document.title, "text": document.text}
            text = "".join(values[piece] if i % 2 else piece for i, piece in enumerate(pieces))
        if self.white_space == "single":
            return " ".join(text.split())
        return text.strip() if self.white_space == "trim" else text


PLAIN = PassageLayout()
"""Title and text, joined by a space, whole."""


def parse_layout(name: str, table: Any) -> PassageLayout:
    """The table `[passage]` of a template file.

    Raises:
        InputError: a key that is not known, or a value that cannot be used.
    """
    known = {"titled", "white_space", "limit"}
    if not isinstance(table, dict) or set(table) - known:
        raise InputError(f"[passage] of prompt template {name!r} may hold {sorted(known)}, but is {table!r}")
    values: dict[str, Any] = dict(table)
    if "limit" in values:
        values["limit"] = passage_limit(values["limit"])
    return PassageLayout(**values)
