"""Never spending more than was allowed: a call is paid for, at its dearest, before it is sent."""

from __future__ import annotations

import asyncio

from limrank_synth.asking import Question
from limrank_synth.settings import Role

_FRAME = 256
"""Tokens that a server may put around a chat: markers, and the default system prompt of a model."""


class OverBudget(Exception):
    """What is left does not pay for another call, and none is under way that could turn out cheaper."""


class Purse:
    """Dollars that may still be spent.

    Args:
        spent: what earlier parts of the run cost.
        limit: for all of it; None for no limit.
    """

    def __init__(self, spent: float, limit: float | None) -> None:
        self.spent = spent
        self._limit = limit
        self._reserved: list[float] = []
        self._changed = asyncio.Condition()

    async def reserve(self, dollars: float) -> None:
        """Put dollars aside; waits for calls under way where they may leave enough.

        Raises:
            OverBudget: they cannot.
        """
        if self._limit is None:
            return
        async with self._changed:
            # Summed anew: what is added and taken off again leaves rounding behind.
            while self.spent + sum(self._reserved) + dollars > self._limit:
                if not any(self._reserved):
                    raise OverBudget(
                        f"${self.spent:.4f} of ${self._limit:.4f} are spent, and the next call may cost "
                        f"${dollars:.4f}"
                    )
                await self._changed.wait()
            self._reserved.append(dollars)

    async def settle(self, reserved: float, cost: float) -> None:
        """Give back what was put aside, and note what it did cost."""
        if self._limit is None:
            self.spent += cost
            return
        async with self._changed:
            self.spent += cost
            self._reserved.remove(reserved)
            self._changed.notify_all()


def most_it_can_cost(question: Question, role: Role) -> float:
    """An upper bound in dollars.

    No token is shorter than a byte, a message's frame is a few tokens, and the server writes at most
    `max_tokens`.
    """
    # A space is put into every marker of at least three bytes that a text holds: a third more at most.
    sizes = (len(message.text.encode("utf-8")) for message in question.messages)
    size = sum(size + size // 3 + 16 for size in sizes)
    return role.cost(size + _FRAME, role.max_tokens)
