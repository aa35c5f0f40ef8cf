"""Secrets stay out of what people read: errors, logs, warnings, serialised components."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest

from limrank_plugins.errors import BackendError, LimRankError

HIDDEN = "***"


def redacted(text: str, secrets: Iterable[str | None]) -> str:
    """The text with every secret in it replaced by `***`; None and empty secrets are passed over."""
    # The longest first: one key may begin with another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def secrets_in(arguments: Sequence[str]) -> set[str]:
    """What may be a key among the words of a command line, in whatever way they were mistyped.

    These are the values of names like `api_key` and `token`, behind `=` or `:` or as the next word, logins
    of addresses, and words that begin as the keys of known providers do.

    Example:
        >>> sorted(secrets_in(["--option", "api_key:abc-123", "--auth-token", "t-4567", "--k", "100"]))
        ['abc-123', 't-4567']
    """
    found = {key for word in arguments for key in _KEY.findall(word)}
    found |= {login for word in arguments for login in _LOGIN.findall(word)}
    for word, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        named = _NAMED.fullmatch(word)
        if named:
            found.add(named[1] if named[1] is not None else following)
    # A name alone or a few letters are no key, and would be hidden wherever they stand.
    return {secret for secret in found if len(secret) >= _SHORTEST and not secret.startswith("--")}


_SHORTEST = 6
_KEY = re.compile(r"\b(?:sk|pk|rk|gsk|hf|xai|pplx|nvapi|ghp|AIza)[-_]?[A-Za-z0-9][\w-]{10,}")
_LOGIN = re.compile(r"://([^/?#\s]+)@")
_NAMED = re.compile(
    r"-*(?:[\w.]+[-_.])*(?:api[-_]?key|key|token|secret|password|passwd|authorization)(?:[=:](.*))?",
    re.IGNORECASE | re.DOTALL,
)


def without_secrets(error: Exception, secrets: Iterable[str | None]) -> Exception:
    """The error itself, or one with a clean text and no chain that would show a secret.

    Raise it outside the `except` block, or Python chains it to the one that shows the secret.
    """
    hidden = tuple(secrets)
    if all(redacted(text, hidden) == text for text in _texts(error)):
        return error
    if isinstance(error, LimRankError):
        return type(error)(redacted(str(error), hidden))
    return BackendError(redacted(f"{type(error).__name__}: {error}", hidden))


@contextmanager
def hiding(secrets: Iterable[str | None]) -> Iterator[None]:
    """Let errors leave the block without secrets; one that shows none passes as it is.

    Example:
        >>> with hiding(["sk-1"]):
        ...     raise ValueError("401: sk-1 is no key")
        Traceback (most recent call last):
        limrank_plugins.errors.BackendError: ValueError: 401: *** is no key
    """
    try:
        yield
    except Exception as error:
        clean = without_secrets(error, secrets)
        if clean is error:
            raise
    else:
        return
    try:
        raise clean
    finally:
        clean.__context__ = None  # Python has chained it to the error that shows the secret


def _texts(error: BaseException) -> Iterator[str]:
    """What an error and everything it is chained to would show."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield str(link)
            yield repr(link)
            links += [link.__cause__, link.__context__]
