"""The ways to rewrite a query that come with the package, and how each reads what a model wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from limrank_plugins.backends.remote.markers import break_markers, marker_pattern
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.labels import TAG
from limrank_plugins.readouts.parsing import cut_to_sentence, split_reasoning
from limrank_plugins.readouts.usable import nothing_usable
from limrank_plugins.segments import Prompt, Segment, clean_text

_MARKERS = marker_pattern()
_HEADING = re.compile(r"^[^\n,;:]{0,60}:")
_BULLET = re.compile(r"^(?:[-*•–]|\(?[0-9]{1,3}[.)])\s*")
_LONGEST_TERM = 6
_MOST_TERMS = 40


class UnusableCompletion(Exception):
    """What was written is no rewriting; the message says why."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to rewrite.

    Attributes:
        name: what `Rewriter` calls it; also its template's name.
        read: (what was written, whether the budget ended it) → the text that is searched with.
        samples: how many texts are written for a query.
        repeat: how often the original query stands before them.
        max_tokens: the budget of one text.
        source: where the method is published.
    """

    name: str
    read: Callable[[str, bool], str]
    samples: int
    repeat: int
    max_tokens: int
    source: str


def answer_of(text: str) -> str:
    """What was written behind the reasoning.

    Raises:
        UnusableCompletion: nothing, the reasoning did not end, or the model refused.
    """
    nothing = nothing_usable(text)
    if nothing is not None:
        raise UnusableCompletion(nothing.reason)
    return split_reasoning(text)[1].strip()


def harmless(text: str) -> str:
    """The text on one line, without anything that reads as a tag of an answer or a model's marker."""
    line = " ".join(clean_text(text).split())
    return break_markers(Prompt((Segment(TAG.sub(r"(\1\2)", line), trusted=False),)), _MARKERS)[0]


def has_word(text: str) -> bool:
    """Whether there is a letter or a digit to search with."""
    return any(character.isalnum() for character in text)


def read_text(text: str, cut: bool) -> str:
    """Prose, up to its last whole sentence with a word where the budget ended it.

    Raises:
        UnusableCompletion: it holds no word.
    """
    answer = harmless(answer_of(text))
    if not has_word(answer):
        raise UnusableCompletion(f"the model wrote no word: {answer[:80]!r}")
    sentences = cut_to_sentence(answer) if cut else answer
    return sentences if has_word(sentences) else answer


def read_terms(text: str, cut: bool) -> str:
    """A list with commas, semicolons or lines between: each term once, headings and bullets left out.

    What is longer than six words is no term, and of more than forty the first are kept. Where the
    budget ended the list, its last entry may be half a word, so it is left out.

    Raises:
        UnusableCompletion: there is no term.
    """
    answer = _HEADING.sub("", answer_of(text))
    pieces = re.split(r"[,;\n]", answer)
    if cut and len(pieces) > 1:
        pieces.pop()
    terms: dict[str, str] = {}
    for piece in pieces:
        term = " ".join(_BULLET.sub("", piece.strip()).strip(" \t.\"'`*“”").split())
        if has_word(term) and len(term.split()) <= _LONGEST_TERM:
            terms.setdefault(term.casefold(), term)
    if not terms:
        raise UnusableCompletion(f"the model wrote no list of terms: {answer[:80]!r}")
    return harmless(" ".join([*terms.values()][:_MOST_TERMS]))


METHODS = {
    method.name: method
    for method in (
        Method("reasoning", read_text, 1, 0, 1024, "BRIGHT, arXiv:2407.12883"),
        Method("hyde", read_text, 8, 1, 512, "HyDE, arXiv:2212.10496"),
        Method("keywords", read_terms, 1, 1, 256, "query2doc, arXiv:2303.07678"),
    )
}


def rewrite_method(name: str) -> Method:
    """The method of this name.

    Raises:
        InputError: there is none.
    """
    if name not in METHODS:
        raise InputError(f"there is no rewriter {name!r}; there are: {', '.join(METHODS)}")
    return METHODS[name]
