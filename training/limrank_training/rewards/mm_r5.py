"""MM-R5's rewards for an order of page images (arXiv 2506.12364 §3.3)."""

from __future__ import annotations

import re
from collections.abc import Collection

from limrank_plugins.errors import InputError
from limrank_training.rewards.answer_tags import tagged_answer

_LIST = re.compile(r"\[\s*(\d{1,6}(?:\s*,\s*\d{1,6})*)?\s*\]")


def images_reward(text: str, relevant: Collection[int], size: int) -> float:
    """How far up the relevant images are: sum of rank^-3, over the largest it could be; in [0, 1].

    An id that is named again does not count again, and takes a place: naming the right one five times
    is worth what naming it once is.

    Args:
        text: all that the model wrote.
        relevant: positions of the relevant images, from 0; not empty.
        size: how many images were shown.

    Raises:
        InputError: nothing is relevant, or a position that was not shown.
    """
    named = _named(text)
    wanted = _checked(relevant, size)
    ideal = sum(place**-3 for place in range(1, len(wanted) + 1))
    return sum((named.index(i) + 1) ** -3 for i in wanted if i in named) / ideal if named else 0.0


def images_format(text: str, size: int) -> float:
    """How well-formed the list is: the share of the images it names, less what it names beyond them.

    The released reward counts entries; `[2, 2, 2, 2, 2]` is then perfect. Here only different ids of
    images that were shown count: |valid ids| / max(size, number of entries).

    Args:
        text: all that the model wrote.
        size: how many images were shown, at least 1.

    Raises:
        InputError: no images.
    """
    if size < 1:
        raise InputError(f"at least one image must have been shown, but got {size!r}")
    named = _named(text)
    valid = {i for i in named if 0 <= i < size}
    return len(valid) / max(size, len(named))


def _named(text: str) -> list[int]:
    """Positions from 0 in the order they are named; none where the shape is wrong."""
    answer = tagged_answer(text)
    read = _LIST.fullmatch(answer) if answer is not None else None
    return [int(number) - 1 for number in re.findall(r"\d+", read[1] or "")] if read is not None else []


def _checked(relevant: Collection[int], size: int) -> list[int]:
    wanted = sorted(set(relevant))
    if not wanted or wanted[0] < 0 or wanted[-1] >= size:
        raise InputError(f"relevant positions must be from 0 to {size - 1}, at least one, but got {wanted}")
    return wanted
