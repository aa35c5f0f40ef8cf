"""Asking a backend: its method is called as it is written, and its replies are held against the requests."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from limrank_plugins.backends.counting import counting
from limrank_plugins.backends.protocols import Arrived, Backend, Reply, Request
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError
from limrank_plugins.wording import number_of


def ask(method: Callable[..., Any], requests: Sequence[Request], arrived: Arrived) -> Any:
    """What a backend's method gives for these requests; it is told whom to tell, if it wants to know."""
    with counting() as noted:
        replies = method(requests, arrived=arrived) if tells_of_replies(method) else method(requests)
    if noted.usage.neutralised and not inspect.isawaitable(replies) and replies:
        first, *others = replies  # of a batch: which of its requests it was matters to nobody
        return [replace(first, usage=first.usage + Usage(neutralised=noted.usage.neutralised)), *others]
    return replies


def tells_of_replies(method: Callable[..., Any]) -> bool:
    """Whether a backend's method says what arrives while it is under way."""
    return "arrived" in inspect.signature(method).parameters


def check_count(backend: Backend, replies: Sequence[Reply], requests: Sequence[object]) -> None:
    """Raise a `BackendError` for a backend that gave more or fewer replies than it got requests."""
    if len(replies) != len(requests):
        raise BackendError(
            f"backend {backend.name!r} gave {number_of(len(replies), 'reply')} to "
            f"{number_of(len(requests), 'request')}"
        )


def repeated(reply: Reply) -> Reply:
    """The same reply, given again at no cost."""
    return replace(reply, usage=Usage(cached=1))
