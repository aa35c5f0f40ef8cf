"""From a completion to an order, a choice or a grade. Pure, total: any text gives a valid result.

Every reading says whether the text had to be repaired, so that nothing malformed passes silently.
The rules are those of RankGPT (arXiv 2304.09542) made precise: the first mention of a label counts,
labels that name no document are dropped on both sides, documents not mentioned follow in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from limrank_plugins.readouts.choice_text import chosen_in_words
from limrank_plugins.readouts.labels import TAG, Labels
from limrank_plugins.readouts.order_text import bracketed, is_ascending, names_in

# Digits of any other script, signs, exponents and words such as "nan" are no grade.
_GRADE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")


class OrderReading(NamedTuple):
    """An order as it was read.

    Attributes:
        order: positions best first, always a permutation.
        repaired: whether the text was anything but exactly that.
        empty: whether nothing was read, so that the order is the one before.
    """

    order: tuple[int, ...]
    repaired: bool
    empty: bool = False


class ChoiceReading(NamedTuple):
    """The position chosen, None for none, and whether the text was anything but exactly one label."""

    position: int | None
    repaired: bool


class GradeReading(NamedTuple):
    """The grade, None for none that can be used, and what was written before it (None for nothing)."""

    grade: float | None
    before: str | None


def repair(positions: Iterable[int], size: int) -> OrderReading:
    """A permutation of `range(size)` that begins with the valid positions, each where it comes first."""
    written = list(positions)
    valid = dict.fromkeys(position for position in written if 0 <= position < size)
    order = (*valid, *(position for position in range(size) if position not in valid))
    return OrderReading(order, repaired=list(order) != written, empty=size > 0 and not valid)


def split_reasoning(text: str) -> tuple[str | None, str]:
    """The reasoning (None where there is none) and what follows it.

    The reasoning ends at the last `</think>`: a model may quote one while it reasons. Reasoning that
    was opened and never closed is all there is.
    """
    if "<" not in text:
        return None, text
    tags = [(tag.start(), tag.end(), bool(tag[1])) for tag in TAG.finditer(text) if tag[2].lower() == "think"]
    closing = [(start, end) for start, end, closes in tags if closes]
    opening = [end for _, end, closes in tags if not closes]
    if closing:
        start, end = closing[-1]
        begin = opening[0] if opening and opening[0] <= start else 0
        return text[begin:start].strip(), text[end:]
    if opening:
        return text[opening[0] :].strip(), ""
    return None, text


def joined_reasoning(apart: str, inside: str | None) -> str | None:
    """Reasoning that came apart from the text, then that in the text; None where both are empty."""
    return "\n\n".join(filter(None, (apart.strip(), (inside or "").strip()))) or None


def cut_to_sentence(text: str) -> str:
    """The text up to its last sentence end (. ! ?); all of it where it has none, as in Rank1."""
    text = text.rstrip()
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1].strip() if end != -1 else text.strip()


def answer_in(text: str) -> str | None:
    """What the last `<answer>` holds (up to its end tag or the text's end), or None without one."""
    tags = [tag for tag in TAG.finditer(text) if tag[2].lower() == "answer"]
    opening = [tag for tag in tags if not tag[1]]
    if not opening:
        return None
    start = opening[-1].end()
    return text[start : next((tag.start() for tag in tags if tag.start() >= start), len(text))]


def parse_order(
    text: str, labels: Labels, shown: int | Sequence[int], *, tagged: bool = False
) -> OrderReading:
    """The order a text gives.

    Args:
        text: the whole completion.
        labels: how the documents were called.
        shown: how many there were; or, where they were shuffled, their positions as they were shown.
        tagged: the answer is expected in an `<answer>`. Without one, a text is read only where it has
            closed reasoning before it or is nothing but the list: reasoning mentions labels, too.
    """
    reasoning, rest = split_reasoning(text)
    answer = answer_in(rest)
    body = bracketed(rest if answer is None else answer, labels)
    misplaced = tagged and answer is None
    # Reasoning mentions labels, too: where nothing says that it is over, only a bare list is an answer.
    unclear = misplaced and reasoning is None
    places = ([] if unclear else labels.read(body)) or labels.read_bare(body)
    ascending = is_ascending(body, labels) or (bool(places) and "<" in body and not labels.read(body))
    if not places and not unclear and (written := names_in(body, labels)) is not None:
        places, ascending = [labels.position(name) for name in written[0]], written[1]
    if ascending:
        places.reverse()
    order = range(shown) if isinstance(shown, int) else shown
    size = len(order)
    named = [order[i] if 0 <= i < size else size for i in places]
    reading = repair(named, size)
    return reading._replace(repaired=reading.repaired or misplaced or ascending)


def parse_choice(
    text: str, labels: Labels, size: int, *, tagged: bool = False, exact: bool = False
) -> ChoiceReading:
    """The choice a text makes; more than one label, or one that names no document, is no choice.

    A text without labels is read where it says in words that one document is the answer: `choice_text.py`.

    Args:
        text: the whole completion.
        labels: how the documents were called.
        size: how many there were.
        tagged: the answer is expected in an `<answer>`, and read nowhere else.
        exact: the answer must be one label and nothing else, as Rank-R1's training demands.
    """
    rest = split_reasoning(text)[1]
    answer = answer_in(rest)
    if tagged and answer is None:
        return ChoiceReading(None, repaired=True)
    body = (rest if answer is None else answer).strip()
    shown = labels.shown(size)
    if body in shown:
        return ChoiceReading(shown.index(body), repaired=False)
    if exact:
        return ChoiceReading(None, repaired=True)
    body = bracketed(body, labels)
    bare = labels.read_bare(body)
    positions = set(bare or labels.read(body))
    if len(positions) == 1 and 0 <= (position := positions.pop()) < size:
        return ChoiceReading(position, repaired=not bare)
    in_words = None if positions else chosen_in_words(TAG.sub(" ", body), labels, size)
    return ChoiceReading(in_words, repaired=True)


def parse_grade(text: str, most: float) -> GradeReading:
    """The number in the last `<score>` that is closed and stands outside the reasoning.

    Args:
        text: the whole completion.
        most: the highest grade; the lowest is 0. Anything but a plain number from 0 to it is no grade.
    """
    reasoning, rest = split_reasoning(text)
    tags = [tag for tag in TAG.finditer(rest) if tag[2].lower() == "score"]
    last = next((i for i in reversed(range(len(tags))) if not tags[i][1]), None)
    if last is None:
        return GradeReading(None, reasoning or rest.strip() or None)
    before = reasoning or rest[: tags[last].start()].strip() or None
    # Not closed: what there is of the number may be half of it.
    end = tags[last + 1].start() if last + 1 < len(tags) else 0
    number = _GRADE.fullmatch(rest[tags[last].end() : end].strip())
    grade = None if number is None else float(number[0])
    return GradeReading(grade if grade is not None and grade <= most else None, before)
