"""What can go wrong with a call to a server: which errors are worth another try, and what to say.

Errors of the openai SDK (2.x stands on httpx, 3.x on httpx2) and of httpx itself are told apart
without importing any of them: an error of a library that was never imported cannot be here.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from limrank_plugins.backends.remote.addresses import proxies
from limrank_plugins.data import Usage
from limrank_plugins.errors import LimRankError
from limrank_plugins.segments import clean_text

_RETRIED = frozenset({408, 409, 425, 429})
_FATAL = frozenset({401, 403, 404, 405})
_UNCERTAIN = frozenset({408, 502, 504, 520, 524})
"""What stands between us and a model gave up waiting for it, or lost it; it may have worked to the end."""
_NEVER_SENT = ("UnsupportedProtocol", "LocalProtocolError", "PoolTimeout", "InvalidURL", "TooManyRedirects")
_TIMEOUTS = ("APITimeoutError", "TimeoutException")
_SPENT = re.compile(
    r"insufficient[_ ](quota|balance|credits?|funds)|credit balance is too low|billing_hard_limit|arrearage|"
    r"payment required|used all available credits|(reached|exceeded) (its|your) (monthly )?spending limit|"
    r"\b(budget_?exceeded|exceeded_?budget)|(^|: )\s*budget has been exceeded",
    re.I,
)
_MAY_BE_SPENT = re.compile(r"billing|exceeded your current quota|resource has been exhausted", re.I)
"""What is said of a spent quota; by Google of too many calls in a minute, too, with a time to come again."""
_OF_A_DAY = re.compile(r"per_?day", re.I)
_NO_MODEL = re.compile(
    r"model_not_found|\bmodel\b(?:[^.]|\.(?=\S)){0,200}\b"
    r"(does ?n.t exist|does not exist|not exist|not found)\b|"
    r"not a valid model|(unknown|invalid|no such) model\b",
    re.I | re.S,
)
_OF_ONE = re.compile(
    r"too (large|long|many|big)|exceed|maximum|\bmax\b|at most|(less|fewer|smaller|shorter|longer|more) than|"
    r"context (length|window|size)|(token|size|length|input|batch) limit|(lower|reduce) the|shorten|"
    r"empty|blank",
    re.I,
)
_OF_ACCOUNT = re.compile(
    r"quota|budget|rate.?limit|(requests?|calls) per|per (second|minute|day|month)", re.I
)
"""What else can be exceeded: smaller requests would only be more of them."""
_TOO_LARGE = re.compile(r"too (large|long)|physical batch size", re.I)


class Complaint(NamedTuple):
    """What a server writes about a request it refuses.

    Attributes:
        message: in its words.
        code: its name for the error; empty where it gives none.
        fields: the fields of the request that it names as the cause.
        details: what it adds, as Google does.
    """

    message: str = ""
    code: str = ""
    fields: tuple[str, ...] = ()
    details: tuple[Any, ...] = ()


class CallFailed(LimRankError, RuntimeError):
    """A call that got no usable reply, in one sentence without secrets.

    Attributes:
        status: the HTTP status of the last reply, or None where there was none.
        fatal: it would be the same for every question (wrong key, wrong address, no such model).
        late: the reply did not come in time; the server may have worked on it all the same.
        complaint: what the server writes about the request.
        usage: what the request has cost all the same, over all of its calls.
    """

    def __init__(
        self,
        reason: str,
        status: int | None = None,
        *,
        late: bool = False,
        fatal: bool | None = None,
        complaint: Complaint | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.late = late
        self.fatal = status in _FATAL if fatal is None else fatal
        self.complaint = complaint if complaint is not None else Complaint()
        self.usage = Usage()


@contextmanager
def charged(usage: Usage) -> Iterator[None]:
    """Say in the failure of reading an answer what the answer says that it cost."""
    try:
        yield
    except CallFailed as failure:
        failure.usage = usage
        raise


def may_be_of_one(failure: CallFailed) -> bool:
    """Whether one text among many may be the cause of a refusal: the request's size, or that it is empty.

    OpenAI says 429 of a request that is larger than a minute's tokens, llama-server 500 of a long document.
    """
    text = f"{failure.complaint.message} {failure.complaint.code}"
    if failure.status not in (400, 413, 422):
        return failure.status is not None and _TOO_LARGE.search(text) is not None
    is_of_size = failure.status == 413 or _OF_ONE.search(text) is not None
    return is_of_size and not _OF_ACCOUNT.search(text)


def is_too_large(complaint: Complaint) -> bool:
    """Whether a server says that a text is too long for it, which no other try would change."""
    return _TOO_LARGE.search(complaint.message) is not None


def links_of(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and not any(at is link for link in seen):
        seen.append(at)
        yield at
        at = at.__cause__


def found_in(error: BaseException) -> CallFailed | None:
    """The `CallFailed` that one of our own hooks raised inside a library, which may have wrapped it."""
    return next((link for link in links_of(error) if isinstance(link, CallFailed)), None)


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
    if found_in(error) is not None:
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
        return (status in _RETRIED or 500 <= status <= 599) and hopeless(error) is None
    chain = list(links_of(error))
    if any(_is(link, "ConnectTimeout") for link in chain):
        return True  # nothing was asked yet
    if any(timed_out(link) for link in chain):
        return False
    if any(_is(link, "UnsupportedProtocol", "TooManyRedirects", "DecodingError") for link in chain):
        return False
    return any(
        isinstance(e, ConnectionError) or _is(e, "APIConnectionError", "TransportError") for e in chain
    )


def is_unreachable(error: BaseException) -> bool:
    """Whether no connection came about: a refused one, a host without an address, a broken TLS handshake."""
    return any(
        isinstance(link, ConnectionRefusedError) or _is(link, "ConnectError", "ConnectTimeout", "ProxyError")
        for link in links_of(error)
    )


def may_be_charged(error: BaseException) -> bool:
    """Whether a server may have worked, and charge, for a try that brought no usable reply.

    What it refuses (429, 500, 503) or never got is free. A reply that was cut off, that came too late or
    that makes no sense is not known to be, nor is a call that a gateway gave up.
    """
    failure = found_in(error)
    if failure is not None:
        return failure.status == 200
    if not is_fault(error) or is_unreachable(error):
        return False
    status = status_of(error)
    if status is not None:
        return status in _UNCERTAIN
    return not any(_is(link, *_NEVER_SENT) for link in links_of(error))


def unreachable(error: BaseException) -> str:
    """What to do about a server that no connection came about with."""
    named = proxies()
    if any(_is(link, "ProxyError") for link in links_of(error)):
        named = named or "the environment"
        return f"the proxy that {named} names does not let calls through: correct or unset it"
    where = f"base_url or the proxy that {named} names" if named else "base_url"
    return f"no server can be reached: start it, or correct {where}"


def hopeless(error: BaseException, key: str = "OPENAI_API_KEY") -> str | None:
    """What to do about an HTTP status that would come for every request; None for any other.

    Args:
        error: of the call.
        key: the environment variable that the key is read from.
    """
    status = status_of(error)
    if status is None:
        return None
    if status == 407:
        return "the proxy wants a login: set HTTP_PROXY or HTTPS_PROXY to http://user:password@host:port"
    complaint = complaint_of(error)
    if status == 402 or (status in (400, 403, 429) and _is_spent(error, status, complaint)):
        return "the quota or the balance is spent: raise it at the provider, or give another api_key"
    if status in (401, 403):
        return f"check the key: api_key or {key}"
    if status in (400, 404, 422) and names_no_model(complaint):
        return "check the model's name against the server's list (GET /models)"
    if status in _FATAL:
        return "check base_url and the model's name"
    return None


def _is_spent(error: BaseException, status: int, complaint: Complaint) -> bool:
    """Whether a server says that nothing more is answered until somebody pays, or until another day."""
    text = f"{complaint.code} {complaint.message}"
    if _SPENT.search(text):
        return True
    if status != 429 or not _MAY_BE_SPENT.search(text):
        return False
    return retry_after(error, 0.0) is None or _OF_A_DAY.search(str(complaint.details)) is not None


def names_no_model(complaint: Complaint) -> bool:
    """Whether a server says that it does not have the model."""
    return _NO_MODEL.search(f"{complaint.code} {complaint.message}") is not None


def complaint_of(error: BaseException) -> Complaint:
    """What the server writes about the request that an error stands for, in whichever shape.

    OpenAI's `{"error": {"message", "code", "param"}}`, with or without the outer object, or alone in a list,
    as Google writes it; the list of `{"loc", "msg", "type"}` that pydantic writes as `detail`; or plain text.
    """
    response = getattr(error, "response", None)
    try:
        text = response.text[:_LONGEST] if response is not None else ""
    except Exception:  # noqa: BLE001 - a body that was never read
        return Complaint()
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        return Complaint(text)
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        body = body.get("error") or body.get("detail") or body
    if isinstance(body, list):
        entries = [entry for entry in body if isinstance(entry, dict)]
        places = [entry.get("loc") for entry in entries]
        fields = [part for loc in places if isinstance(loc, list) for part in loc if isinstance(part, str)]
        messages = [str(entry[name]) for entry in entries for name in ("msg", "type") if name in entry]
        return Complaint("; ".join(messages), "", tuple(fields))
    if not isinstance(body, dict):
        return Complaint(body if isinstance(body, str) else text)
    message, param, details = body.get("message"), body.get("param"), body.get("details")
    codes = [value for value in (body.get("code"), body.get("type")) if isinstance(value, str)]
    fields = re.split(r"[.\[\]]+", param) if isinstance(param, str) else []
    return Complaint(
        message if isinstance(message, str) else text,
        " ".join(codes),
        tuple(filter(None, fields)),
        tuple(details) if isinstance(details, list) else (),
    )


_LONGEST = 100_000  # characters of an error's body that are looked at


def kind_of(error: BaseException) -> str | None:
    """What went wrong, for counts: "HTTP 429", "timeout", "connection", or "reply" for an unreadable one.

    None for an error of the program.
    """
    if found_in(error) is not None:
        return "reply"
    if not is_fault(error):
        return None
    if timed_out(error):
        return "timeout"
    status = status_of(error)
    return f"HTTP {status}" if status is not None else "connection"


def retry_after(error: BaseException, now: float) -> float | None:
    """Seconds until the server wants to be asked again.

    It says so in `Retry-After`, in seconds or as a date, or in a `retryDelay` of the details, as Google does.
    """
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers is not None else None
    if value is None:
        details = complaint_of(error).details
        delays = (part.get("retryDelay") for part in details if isinstance(part, dict))
        value = next((delay.removesuffix("s") for delay in delays if isinstance(delay, str)), None)
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
    """A server's words on one line, shortened, without lone surrogates."""
    line = clean_text(" ".join(text[: 100 * most].split()))
    return line if len(line) <= most else f"{line[:most]}…"
