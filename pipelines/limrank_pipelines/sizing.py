"""What reranking so many pairs takes: tokens, GPU-hours and dollars, from rates that you have measured.

A pair is a query and one passage. With a pair's mean tokens (t prompt, of which s are shared and not
computed again, and g generated), and rates of one GPU (p prompt tokens and d generated tokens a second):

    GPU-seconds of n pairs = n · ((t - s) / p + g / d) / u

u is the share of the time in which the GPUs do this work. Dollars are GPU-hours times the price of one.
Nothing else is in it: no loading of weights, no first stage, no network, no discount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from limrank_plugins.checks import finite_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of


@dataclass(frozen=True, slots=True)
class Load:
    """The mean tokens of one pair.

    Attributes:
        prompt_tokens: of the prompt.
        generated_tokens: written, reasoning included; default 0 (one forward pass).
        shared_tokens: of the prompt's, those that another pair has computed; default 0.

    Raises:
        InputError: a number below 0 or not finite, or more shared tokens than there are.
    """

    prompt_tokens: float
    generated_tokens: float = 0.0
    shared_tokens: float = 0.0

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "generated_tokens", "shared_tokens"):
            finite_number(name, getattr(self, name), least=0)
        if self.shared_tokens > self.prompt_tokens:
            raise InputError(
                f"shared_tokens must be at most prompt_tokens, but got {self.shared_tokens} of "
                f"{self.prompt_tokens}"
            )

    @classmethod
    def of(cls, usage: Usage, pairs: int) -> Self:
        """As measured: `Ranking.usage` (or a sum of several) over that many pairs.

        Raises:
            InputError: no pairs, or replies from a store, whose tokens would be missing.
        """
        if pairs < 1:
            raise InputError(f"pairs must be > 0, but got {pairs}")
        if usage.cached:
            raise InputError(
                f"{number_of(usage.cached, 'reply')} came from a store and cost no tokens: measure "
                "without a store"
            )
        shared = usage.shared_tokens / pairs
        return cls(usage.prompt_tokens / pairs, usage.generated_tokens / pairs, shared)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one GPU does in a second under your load, and what an hour of it costs.

    Attributes:
        prompt_rate: prompt tokens a second.
        generation_rate: generated tokens a second, all requests in flight together; default None: nothing
            is generated.
        dollars: for an hour of one GPU.
        busy: the share of the time in which it does this work, in (0, 1]; default 1.

    Raises:
        InputError: a value that cannot be used.
    """

    prompt_rate: float
    generation_rate: float | None = None
    dollars: float = 0.0
    busy: float = 1.0

    def __post_init__(self) -> None:
        for name in ("prompt_rate", "generation_rate"):
            if getattr(self, name) is not None:
                finite_number(name, getattr(self, name), above=0)
        finite_number("dollars", self.dollars, least=0)
        finite_number("busy", self.busy, above=0, most=1)


@dataclass(frozen=True, slots=True)
class Size:
    """What so many pairs take.

    Attributes:
        pairs: how many.
        prompt_tokens: of all prompts; `computed_tokens` of them are computed.
        computed_tokens: see there.
        generated_tokens: written.
        gpu_hours: see the module.
        dollars: see the module.
    """

    pairs: int
    prompt_tokens: float
    computed_tokens: float
    generated_tokens: float
    gpu_hours: float
    dollars: float

    def wall_hours(self, gpus: int) -> float:
        """Hours on that many GPUs, if they share the work evenly."""
        if gpus < 1:
            raise InputError(f"gpus must be > 0, but got {gpus}")
        return self.gpu_hours / gpus


def size(pairs: int, load: Load, rates: Rates) -> Size:
    """What so many pairs take; the formula is in the module's documentation.

    Raises:
        InputError: `pairs` below 0, or generated tokens without a rate for them.
    """
    if pairs < 0:
        raise InputError(f"pairs must be >= 0, but got {pairs}")
    if load.generated_tokens and rates.generation_rate is None:
        raise InputError("the pairs have generated tokens: give generation_rate, too")
    computed = pairs * (load.prompt_tokens - load.shared_tokens)
    generated = pairs * load.generated_tokens
    seconds = computed / rates.prompt_rate
    if rates.generation_rate is not None:
        seconds += generated / rates.generation_rate
    hours = seconds / rates.busy / 3600
    return Size(pairs, pairs * load.prompt_tokens, computed, generated, hours, hours * rates.dollars)


def sizes(load: Load, rates: Rates, exponents: Sequence[int] = range(3, 10)) -> list[Size]:
    """`size` for powers of ten; default 10^3 to 10^9."""
    return [size(10**exponent, load, rates) for exponent in exponents]


def as_markdown(rows: Sequence[Size], gpus: int = 1) -> str:
    """The table, three significant digits."""
    wall = f"hours on {gpus} GPU{'s' * (gpus > 1)}"
    lines = [
        f"| pairs | prompt tokens | computed | generated | GPU-hours | {wall} | $ |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        hours = (row.gpu_hours, row.wall_hours(gpus), row.dollars)
        numbers = (float(row.pairs), row.prompt_tokens, row.computed_tokens, row.generated_tokens, *hours)
        lines.append("| " + " | ".join(map(_short, numbers)) + " |")
    return "\n".join(lines) + "\n"


def _short(number: float) -> str:
    """Three significant digits, with K, M, G, T for thousands, millions, and so on."""
    if number == 0:
        return "0"
    digits = f"{number:.2e}"
    exponent = int(digits.partition("e")[2])
    if exponent < 3:
        return f"{number:.3g}"
    step = min(exponent // 3, 5)
    return f"{float(digits) / 1000**step:.3g} {' KMGTP'[step]}"
