"""A request that is not answered as it was asked: the status and the sentence it gets instead."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from limrank_plugins.errors import InputError, LimRankError

logger = logging.getLogger(__name__)


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


def too_late(seconds: float) -> Refusal:
    """The refusal of what took longer than it may."""
    return come_again(503, f"the documents could not be ranked within {seconds:g} seconds")


def refusal_of(error: Exception) -> Refusal:
    """What an error while ranking is answered as; a defect is logged."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InputError):
        return Refusal(422, str(error))
    if isinstance(error, LimRankError):
        return Refusal(502, str(error))
    logger.error("a request ended with an error that nobody expected", exc_info=error)
    return Refusal(500, f"the server has a defect ({type(error).__name__}); its log says more")
