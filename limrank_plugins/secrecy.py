"""Secrets stay out of what people read: errors, logs, warnings, serialised components."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest

from limrank_plugins.errors import BackendError, LimRankError

HIDDEN = "***"
LONG = 8
"""Characters from which on a secret is no part of another word by chance."""


def redacted(text: str, secrets: Iterable[str | None]) -> str:
    """The text with every secret in it replaced by `***`; None and empty secrets are passed over.

    A secret of 8 characters or more is hidden wherever it stands. A shorter one is hidden where it stands by
    itself: not inside a longer run of letters and digits. One of up to four letters ("k", "no", "none": what
    servers without keys are given) stays as a word of a sentence as well, between blanks, unless the word
    before calls it a key: hidden in our own sentences it would spoil them, and tell by the gap what it is.

    Example:
        >>> redacted("no connection (asked 3 times) with the header 'Bearer no'", ["no"])
        "no connection (asked 3 times) with the header 'Bearer ***'"
    """
    # The longest first: one key may begin with another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN) if len(secret) >= LONG else _without_short(text, secret)
    return text


def _without_short(text: str, secret: str) -> str:
    """The text with a short secret replaced where it stands by itself."""
    is_word = _WORD.fullmatch(secret) is not None

    def shown(match: re.Match[str]) -> str:
        before, after = text[: match.start()], text[match.end() :]
        in_sentence = (not before or before[-1].isspace()) and after[:1].isspace()
        return secret if is_word and in_sentence and not _KEY_FOLLOWS.search(before[-40:]) else HIDDEN

    # "top-k" and "top_k" are words of ours; no more of a key than its letters could be found in them.
    run = "A-Za-z0-9_-" if is_word else "A-Za-z0-9"
    return re.sub(rf"(?:(?<![{run}])|{_ESCAPE}){re.escape(secret)}(?![{run}])", shown, text)


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
_WORD = re.compile(r"[A-Za-z]{1,4}")
_KEY_FOLLOWS = re.compile(
    r"(?:key|token|bearer|basic|secret|password|authorization|provided)[\"']?\s*[:=]?\s+$", re.IGNORECASE
)
# Behind a sign written as an escape (%20, \n, \x1b, \u003d): its letters are no part of what follows.
_ESCAPE = r"(?<=%[0-9A-Fa-f]{2})|(?<=\\[abfnrtv])|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})"
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
