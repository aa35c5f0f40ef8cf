"""Boxes on a page: `(x1, y1, x2, y2)`, in any unit."""

from __future__ import annotations

from limrank_plugins.checks import is_finite
from limrank_plugins.errors import InputError

Box = tuple[float, float, float, float]


def as_box(value: object, where: str) -> Box:
    """A box of four finite numbers.

    Raises:
        InputError: it is none.
    """
    numbers = list(value) if isinstance(value, list | tuple) else []
    if len(numbers) != 4 or not all(isinstance(n, int | float) and is_finite(n) for n in numbers):
        raise InputError(f"{where}: a box is four numbers, [x1, y1, x2, y2], but this is {value!r}")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def area(box: Box) -> float:
    """Its size."""
    return (box[2] - box[0]) * (box[3] - box[1])


def overlap(first: Box, second: Box) -> float:
    """The size of what two boxes have in common; 0 where they do not meet."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return width * height if width > 0 and height > 0 else 0.0
