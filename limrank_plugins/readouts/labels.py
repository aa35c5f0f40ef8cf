r"""What the documents of a group are called in a prompt, and how such names are read back.

A passage must not be able to write a label itself: `[3] > [1]` inside a query or a document becomes
`(3) > (1)` (as in RankLLM, ReasonRank and FIRST), and so do `[Passage 3]`, `[1-3]`, `\[3\]`, `【3】` and the
heading `Passage 3:`. The tags around reasoning, an answer or a score lose their angle brackets. The patterns
that rewrite are the ones that read, so nothing slips between. What stays, as ordinary text is full of it:
numbers and letters without brackets, and lists such as `[0, 1]` where documents are called `[1]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from limrank_plugins.errors import InputError

TAGS = ("think", "answer", "score")
"""The tags that any recipe's model writes, and no passage may."""


@cache
def _tag(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"<\s{{0,3}}(/?)\s{{0,3}}({'|'.join(names)})\s{{0,3}}>", re.IGNORECASE)


TAG = _tag(TAGS)
"""One of them, opening or closing."""

# Runs of digits are bounded: int() raises above 4,300, and no group has a million documents.
_LABELLED = {
    "numeric": re.compile(r"\[\s{0,3}([0-9]{1,6})\s{0,3}\]"),
    "alphabetic": re.compile(r"\[\s{0,3}([A-Za-z])\s{0,3}\]"),
}
_LABELLED["plain"] = re.compile(r"\b(?:image|passage)\s{0,3}([0-9]{1,6})", re.IGNORECASE)
_BARE = {"numeric": re.compile(r"[0-9]{1,6}"), "alphabetic": re.compile(r"[A-Za-z]")}
_BARE["plain"] = _BARE["numeric"]
# What models call a document, before its name.
WORD = r"(?:passages?|documents?|docs?|texts?|images?|pages?|candidates?|identifiers?|ids?|ranks?)"
# Brackets: the usual ones, full-width and CJK ones, each with a backslash before it or without.
_OPEN, _CLOSE = "\\\\?[\\[\uff3b\u3010\u3014]", "\\\\?[\\]\uff3d\u3011\u3015]"
_DIGITS, _LETTER = "[0-9\uff10-\uff19]{1,6}", "[A-Za-z\uff21-\uff3a]"
_RANGE = rf"{_DIGITS}\s{{0,3}}[-–—]\s{{0,3}}{_DIGITS}"
FORMS = {
    kind: re.compile(rf"{_OPEN}\s{{0,3}}({body})\s{{0,3}}{_CLOSE}")
    for kind, body in {
        "numeric": rf"(?:(?i:{WORD})\s{{0,3}}[:#]?\s{{0,3}})?{_DIGITS}|{_RANGE}",
        "alphabetic": rf"(?:(?i:{WORD})(?:\s{{1,3}}|\s{{0,3}}[:#]\s{{0,3}}))?{_LETTER}",
    }.items()
}
r"""A label in brackets, in every form that is read: `[3]`, `[Passage 3]`, `[1-3]`, `\[3\]`, `【3】`."""
FORMS["plain"] = FORMS["numeric"]
# A list of bare numbers, which is the answer where documents have no brackets around their names.
_ITEM = rf"(?:(?i:{WORD})\s{{0,3}}[:#]?\s{{0,3}})?[\"']?{_DIGITS}[\"']?"
_LISTS = (
    re.compile(rf"{_OPEN}(\s*[0-9\uff10-\uff19][0-9\uff10-\uff19,\uff0c\s]*){_CLOSE}"),
    re.compile(rf"{_OPEN}(\s{{0,40}}{_ITEM}(?:\s{{0,40}}[,\uff0c]\s{{0,40}}{_ITEM})+\s{{0,40}}){_CLOSE}"),
)
# As a prompt writes it before a document: "image 3 of the series" is just text.
_HEADINGS = {
    kind: re.compile(rf"\b((?i:passage|document|doc|image))(\s{{0,3}})({name})(?=\s{{0,3}}[:\uff1a])")
    for kind, name in {"numeric": "[0-9]{1,6}", "alphabetic": "[A-Z]"}.items()
}
_HEADINGS["plain"] = _HEADINGS["numeric"]
# A document that prose speaks of: "passage B", "Document: 2", "(3)".
_MENTIONED = {
    "numeric": re.compile(rf"(?i:\b{WORD}\s{{0,3}}[:#]?\s{{0,3}}|[\[(]\s{{0,3}})[0-9]+\b"),
    "alphabetic": re.compile(rf"(?i:\b{WORD}\s{{0,3}}[:#]?\s{{0,3}}|[\[(]\s{{0,3}})[A-Z]\b"),
}
_MENTIONED["plain"] = _MENTIONED["numeric"]
# What may stand between bare labels. No parentheses: a passage's neutralised label is no label.
_BETWEEN = re.compile(r"[\s\[\]<>,.;:=|*\"'`-]+")


@dataclass(frozen=True, slots=True)
class Labels:
    """Names for the documents of a group.

    Attributes:
        kind: `"numeric"` is [1], [2], …; `"alphabetic"` is [A] to [Z]; `"plain"` is 1, 2, … behind a
            word, as in "Image 1:", and answers are lists such as [2, 1].
    """

    kind: Literal["numeric", "alphabetic", "plain"] = "numeric"

    def shown(self, size: int) -> tuple[str, ...]:
        """The labels of a group of `size` documents.

        Raises:
            InputError: there are more documents than letters.
        """
        if self.kind == "numeric":
            return tuple(f"[{number}]" for number in range(1, size + 1))
        if self.kind == "plain":
            return tuple(str(number) for number in range(1, size + 1))
        if size > 26:
            raise InputError(
                f"letters can name at most 26 documents, but a group has {size}: use smaller groups "
                f"(window <= 26, children <= 25) or a recipe with numbered documents, such as 'rank-r1'"
            )
        return tuple(f"[{chr(ord('A') + i)}]" for i in range(size))

    def neutral(self, text: str) -> str:
        """The text without anything that reads as a label or as a tag: round brackets instead."""
        text = FORMS[self.kind].sub(r"(\1)", text)
        for listed in _LISTS if self.kind == "plain" else ():
            text = listed.sub(r"(\1)", text)
        return without_tags(_HEADINGS[self.kind].sub(_bracketed_heading, text))

    def read(self, text: str) -> list[int]:
        """Positions of the labels in the text, from 0; those that name no document are kept."""
        return [self.position(name) for name in _LABELLED[self.kind].findall(text)]

    def read_bare(self, text: str) -> list[int]:
        """Positions of names without their own brackets, if the text is nothing but such names.

        Reading any number of any text would take "the top 10 passages" for a label.
        """
        names = [name for name in _BETWEEN.split(text) if name]
        if not all(_BARE[self.kind].fullmatch(name) for name in names):
            return []
        return [self.position(name) for name in names]

    def mentioned(self, text: str) -> bool:
        """Whether the text speaks of a document by its name: in brackets, bare or behind a word."""
        return bool(self.read(text) or self.read_bare(text) or _MENTIONED[self.kind].search(text))

    def position(self, name: str) -> int:
        """The position that a name stands for, from 0."""
        return ord(name.upper()) - ord("A") if self.kind == "alphabetic" else int(name) - 1


def _bracketed_heading(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2] or ' '}({match[3]})"


def without_tags(text: str, more: tuple[str, ...] = ()) -> str:
    """The text without anything that reads as one of the tags: round brackets instead.

    Args:
        text: what anybody may have written.
        more: further tags, of a prompt that puts its parts behind such.
    """
    return _tag(TAGS + more).sub(r"(\1\2)", text)


NUMERIC = Labels("numeric")
ALPHABETIC = Labels("alphabetic")
PLAIN = Labels("plain")
