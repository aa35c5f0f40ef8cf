"""What rounding may move. A sum of products comes out otherwise on another processor, with other threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def near(wanted: Any) -> Any:
    """Numbers that float32 computed twice: 1e-5 of their size, or of 1 where smaller; None is None."""
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return {key: near(value) for key, value in wanted.items()}
    return pytest.approx(wanted, rel=1e-5, abs=1e-5)


def weights_of(model: Any) -> dict[str, Any]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same_training(one: Mapping[str, Any], other: Mapping[str, Any], rate: float) -> None:
    """Compare the weights that two runs of the same steps end in.

    Adam makes a whole step of a gradient that is nothing but rounding errors (a key's bias), so one weight
    in 50 may go its own way; all others agree to a hundredth of a step.
    """
    assert one.keys() == other.keys()
    assert one
    apart = sum(int(((one[name] - other[name]).abs() > rate / 100).sum()) for name in one)
    assert apart <= sum(weight.numel() for weight in one.values()) / 50


def same_history(one: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]]) -> None:
    """The same steps, with losses that agree to three digits: rounding grows from step to step."""
    found, wanted = ([(e["step"], e.get("loss")) for e in history] for history in (one, other))
    assert [step for step, _ in found] == [step for step, _ in wanted]
    assert [(loss is None) for _, loss in found] == [(loss is None) for _, loss in wanted]
    losses = ([loss for _, loss in history if loss is not None] for history in (found, wanted))
    assert next(losses) == pytest.approx(next(losses), rel=1e-3, abs=1e-5)
