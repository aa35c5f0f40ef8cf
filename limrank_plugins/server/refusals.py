"""A request that is not answered as it was asked: the status and the sentence it gets instead."""

from __future__ import annotations

from collections.abc import Mapping

from limrank_plugins.errors import LimRankError


class Refusal(LimRankError):
    """Answered with a status and `{"detail": sentence}`.

    Args:
        status: the HTTP status.
        detail: what is wrong and what to do, in a sentence.
        headers: sent with it, such as `Retry-After`.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def come_again(status: int, detail: str) -> Refusal:
    """A refusal of what may be accepted in a second."""
    return Refusal(status, detail, {"Retry-After": "1"})
