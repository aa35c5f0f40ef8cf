"""The most that may be spent on one query beyond what a cheap look at it costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError

_WAVE = 8
_AMOUNT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s+(documents?|tokens?|seconds?)\s*")


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent; None: as much as it takes. What is used up first ends it.

    Tokens and seconds are looked at between waves of eight documents (of five with `reasoning="auto"`), so
    the last wave may go beyond them. What the store knows, and what is a repetition, costs nothing and takes
    nothing from them.

    Attributes:
        documents: how many documents may be judged.
        tokens: prompt tokens that are computed and tokens that are written.
        seconds: model time, as `Usage.seconds` counts it.
    """

    documents: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("documents", "tokens"):
            if getattr(self, name) is not None:
                whole_number(f"a budget's {name}", getattr(self, name), least=1)
        if self.seconds is not None:
            finite_number("a budget's seconds", self.seconds, above=0)

    @classmethod
    def of(cls, budget: str | Budget | None) -> Self:
        """From the way it is written: `"20 documents"`, `"50000 tokens, 5 seconds"`.

        Raises:
            InputError: it is written otherwise, or names a unit twice.
        """
        if isinstance(budget, cls):
            return budget
        amounts: dict[str, str] = {}
        for part in str(budget).split(",") if budget is not None else ():
            match = _AMOUNT.fullmatch(part)
            unit = match[2].rstrip("s") + "s" if match is not None else ""
            if match is None or unit in amounts or (unit != "seconds" and "." in match[1]):
                raise InputError(
                    f"a budget is written like '20 documents', '50000 tokens' or '5 seconds', or several "
                    f"of them with commas between, but got {budget!r}"
                )
            amounts[unit] = match[1]
        return cls(
            documents=int(amounts["documents"]) if "documents" in amounts else None,
            tokens=int(amounts["tokens"]) if "tokens" in amounts else None,
            seconds=float(amounts["seconds"]) if "seconds" in amounts else None,
        )

    def __str__(self) -> str:
        """As it is written."""
        amounts = {"documents": self.documents, "tokens": self.tokens, "seconds": self.seconds}
        return ", ".join(f"{amount} {unit}" for unit, amount in amounts.items() if amount is not None)

    @property
    def stops_early(self) -> bool:
        """Whether it can end work that has begun: documents are counted beforehand."""
        return self.tokens is not None or self.seconds is not None

    def waves(self, positions: Sequence[int]) -> list[list[int]]:
        """What is asked about at once: eight at a time where it must be looked at between, else all."""
        size = _WAVE if self.stops_early else max(1, len(positions))
        return [list(positions[start : start + size]) for start in range(0, len(positions), size)]

    def spent(self, usage: Usage) -> bool:
        """Whether tokens or seconds are used up."""
        computed = usage.prompt_tokens - usage.shared_tokens + usage.generated_tokens
        if self.tokens is not None and computed >= self.tokens:
            return True
        return self.seconds is not None and usage.seconds >= self.seconds
