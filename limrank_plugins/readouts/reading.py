"""From a model's text to an order, a choice or a grade. Pure, total: any text gives a valid result.

Every reading says whether the text had to be repaired, so that nothing malformed passes silently.
The rules are those of RankGPT (arXiv 2304.09542) made precise: the first mention of a label counts,
labels that name no document are dropped on both sides, documents not mentioned follow in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from limrank_plugins.readouts.labels import TAG, Labels

# Digits of any other script, signs, exponents and words such as "nan" are no grade.
_GRADE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")


class OrderRead(NamedTuple):
    """What an order was read as.

    Attributes:
        order: positions best first, always a permutation.
        repaired: whether the text was anything but exactly that.
        empty: whether nothing was read, so that the order is the one before.
    """

    order: tuple[int, ...]
    repaired: bool
    empty: bool = False


class ChoiceRead(NamedTuple):
    """The position chosen, None for none, and whether the text was anything but exactly one label."""

    position: int | None
    repaired: bool


class GradeRead(NamedTuple):
    """The grade given, None for none that can be used, and what was written before it (None for nothing)."""

    grade: float | None
    before: str | None


def repair(positions: Iterable[int], size: int) -> OrderRead:
    """A permutation of `range(size)` that begins with the valid positions, each where it comes first."""
    given = list(positions)
    valid = dict.fromkeys(position for position in given if 0 <= position < size)
    order = (*valid, *(position for position in range(size) if position not in valid))
    return OrderRead(order, repaired=list(order) != given, empty=size > 0 and not valid)


def split_thought(text: str) -> tuple[str | None, str]:
    """The thought (None where there is none) and what follows it.

    The thought ends at the last `</think>`: a model may quote one while it thinks. A thought that
    was opened and never closed is all there is.
    """
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


def answer_in(text: str) -> str | None:
    """What the last `<answer>` holds (up to its end tag or the text's end), or None without one."""
    tags = [tag for tag in TAG.finditer(text) if tag[2].lower() == "answer"]
    opening = [tag for tag in tags if not tag[1]]
    if not opening:
        return None
    start = opening[-1].end()
    return text[start : next((tag.start() for tag in tags if tag.start() >= start), len(text))]


def read_order(text: str, labels: Labels, shown: int | Sequence[int], *, tagged: bool = False) -> OrderRead:
    """The order a text gives.

    Args:
        text: all that the model wrote.
        labels: how the documents were called.
        shown: how many there were; or, where they were shuffled, their positions as they were shown.
        tagged: the answer is expected in an `<answer>`. Without one, a text is read only where it has
            a closed thought before it or is nothing but the list: reasoning mentions labels, too.
    """
    thought, rest = split_thought(text)
    answer = answer_in(rest)
    body = rest if answer is None else answer
    misplaced = tagged and answer is None
    # Reasoning mentions labels, too: where nothing says that it is over, only a bare list is an answer.
    found = [] if misplaced and thought is None else labels.read(body)
    order = range(shown) if isinstance(shown, int) else shown
    size = len(order)
    named = [order[i] if 0 <= i < size else size for i in found or labels.read_bare(body)]
    read = repair(named, size)
    return read._replace(repaired=read.repaired or misplaced)


def read_choice(
    text: str, labels: Labels, size: int, *, tagged: bool = False, exact: bool = False
) -> ChoiceRead:
    """The choice a text makes; more than one label, or one that names no document, is no choice.

    Args:
        text: all that the model wrote.
        labels: how the documents were called.
        size: how many there were.
        tagged: the answer is expected in an `<answer>`, and read nowhere else.
        exact: the answer must be one label and nothing else, as Rank-R1's training demands.
    """
    rest = split_thought(text)[1]
    answer = answer_in(rest)
    if tagged and answer is None:
        return ChoiceRead(None, repaired=True)
    body = (rest if answer is None else answer).strip()
    shown = labels.shown(size)
    if body in shown:
        return ChoiceRead(shown.index(body), repaired=False)
    if exact:
        return ChoiceRead(None, repaired=True)
    bare = labels.read_bare(body)
    found = set(bare or labels.read(body))
    if len(found) == 1 and 0 <= (position := found.pop()) < size:
        return ChoiceRead(position, repaired=not bare)
    return ChoiceRead(None, repaired=True)


def read_grade(text: str, most: float) -> GradeRead:
    """The number in the last `<score>` that is closed and stands outside the thought.

    Args:
        text: all that the model wrote.
        most: the highest grade; the lowest is 0. Anything but a plain number from 0 to it is no grade.
    """
    thought, rest = split_thought(text)
    tags = [tag for tag in TAG.finditer(rest) if tag[2].lower() == "score"]
    last = next((i for i in reversed(range(len(tags))) if not tags[i][1]), None)
    if last is None:
        return GradeRead(None, thought or rest.strip() or None)
    before = thought or rest[: tags[last].start()].strip() or None
    # Not closed: what there is of the number may be half of it.
    end = tags[last + 1].start() if last + 1 < len(tags) else 0
    number = _GRADE.fullmatch(rest[tags[last].end() : end].strip())
    grade = None if number is None else float(number[0])
    return GradeRead(grade if grade is not None and grade <= most else None, before)
