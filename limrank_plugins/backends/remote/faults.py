"""What can go wrong with a call to a server: which errors are worth another try, and what to say.

Errors of the openai SDK (2.x stands on httpx, 3.x on httpx2) and of httpx itself are told apart
without importing any of them: an error of a library that was never imported cannot be here.
"""

from __future__ import annotations

import math
import sys
from email.utils import parsedate_to_datetime

from limrank_plugins.errors import LimRankError

_RETRIED = frozenset({408, 409, 425, 429})
_FATAL = frozenset({401, 403, 404, 405})
_TIMEOUTS = ("APITimeoutError", "TimeoutException")


class CallFailed(LimRankError, RuntimeError):
    """A call that got no usable reply, in one sentence without secrets.

    Attributes:
        status: the HTTP status of the last reply, or None where there was none.
        fatal: it would be the same for every question (wrong key, wrong address, no such model).
        late: the reply did not come in time; the server may have worked on it all the same.
    """

    def __init__(self, reason: str, status: int | None = None, *, late: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.late = late
        self.fatal = status in _FATAL


def status_of(error: BaseException) -> int | None:
    """The HTTP status an error of the openai SDK or httpx stands for, or None."""
    response = getattr(error, "response", None)
    for holder in (error, response):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def is_fault(error: BaseException) -> bool:
    """Whether it is an error of a call, and not of the program."""
    if isinstance(error, CallFailed):
        return False
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return _is(error, "OpenAIError", "HTTPError", "InvalidURL", "StreamError")


def timed_out(error: BaseException) -> bool:
    """Whether no reply came in time."""
    return isinstance(error, TimeoutError) or _is(error, *_TIMEOUTS)


def is_transient(error: BaseException) -> bool:
    """Whether asking again may help; see `backends.remote.calls`."""
    if not is_fault(error):
        return False
    status = status_of(error)
    if status is not None:
        return status in _RETRIED or 500 <= status <= 599
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__
    if any(_is(link, "ConnectTimeout") for link in chain):
        return True  # nothing was asked yet
    if any(timed_out(link) for link in chain):
        return False
    return any(
        isinstance(e, ConnectionError) or _is(e, "APIConnectionError", "TransportError") for e in chain
    )


def kind_of(error: BaseException) -> str | None:
    """What went wrong, for counts: "HTTP 429", "timeout", "connection", or "reply" for an unreadable one.

    None for an error of the program.
    """
    if isinstance(error, CallFailed):
        return "reply"
    if not is_fault(error):
        return None
    if timed_out(error):
        return "timeout"
    status = status_of(error)
    return f"HTTP {status}" if status is not None else "connection"


def retry_after(error: BaseException, now: float) -> float | None:
    """Seconds until the server wants to be asked again: its `Retry-After`, in seconds or as a date."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers is not None else None
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except ValueError:
            return None
        seconds = max(seconds, 0.0)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _is(error: BaseException, *names: str) -> bool:
    for library in ("openai", "httpx", "httpx2"):
        module = sys.modules.get(library)
        kinds = tuple(getattr(module, name) for name in names if hasattr(module, name))
        if kinds and isinstance(error, kinds):
            return True
    return False


def brief(text: str, most: int = 300) -> str:
    """A server's words on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"
