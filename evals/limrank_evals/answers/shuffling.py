"""Options in an order of their own for every question and sample, and the way back.

Models prefer some letters; options that always stand where the benchmark has them measure that, too. The
order is drawn from the seed, the sample and the question's id alone: the same whatever is asked before, on
any machine, and the same for every system that is compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from limrank_evals.answers import choice_letters
from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class OptionOrder:
    """The options as one model saw them.

    Attributes:
        choices: their texts, in the order shown.
        order: for every one shown its place in the question, from 0.
    """

    choices: tuple[str, ...]
    order: tuple[int, ...]

    def original(self, letter: str | None) -> str | None:
        """The question's own letter of the option shown as `letter`; None stays None.

        Raises:
            InputError: no option was shown by that letter.
        """
        if letter is None:
            return None
        return choice_letters(len(self.order))[self.order[self._place(letter)]]

    def shown(self, letter: str) -> str:
        """The letter under which the question's own option `letter` was shown; errors as `original`."""
        return choice_letters(len(self.order))[self.order.index(self._place(letter))]

    def _place(self, letter: str) -> int:
        letters = choice_letters(len(self.order))
        if len(letter) != 1 or letter not in letters:
            raise InputError(f"there is no option {letter!r}, only {letters[0]} to {letters[-1]}")
        return letters.index(letter)


def shuffled(choices: Sequence[str], question: str, *, sample: int = 0, seed: int = 0) -> OptionOrder:
    """Put a question's options into an order of its own.

    Args:
        choices: their texts, as the question has them.
        question: its id.
        sample: the number of the sample, from 0: each sees another order.
        seed: of all orders.

    Raises:
        InputError: no options, or more than 26.
    """
    choice_letters(len(choices))

    def drawn(place: int) -> bytes:
        named = f"{seed}\0{sample}\0{question}\0{place}"
        return hashlib.sha256(named.encode("utf-8", "surrogatepass")).digest()

    # By hashes rather than a generator, whose stream may change with its library.
    order = sorted(range(len(choices)), key=drawn)
    return OptionOrder(tuple(choices[i] for i in order), tuple(order))
