"""Addresses and keys of servers: checked before anything is sent, shown without their secrets."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from limrank_plugins.errors import InputError
from limrank_plugins.secrecy import HIDDEN, redacted, secrets_in

_PORTS = {"http": 80, "https": 443}
_SHORTEST_SECRET = 6  # hiding shorter ones would spoil messages: `?v=1`
_PLAIN = re.compile(r"(?:[a-z]+://)?[\w.-]*(?::[0-9]{0,5})?(?:/[\w./-]*)?", re.IGNORECASE)  # and no login
_HARMLESS = ("api-version", "version", "v")
_SECRET_FIELD = re.compile(
    r"(?:.*[-_.])?(?:api[-_]?key|(?:access|auth)[-_]?token|authorization|secret|passwo?r?d)", re.IGNORECASE
)
_HEADERS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")


class Address(NamedTuple):
    """A server's address.

    Attributes:
        base: scheme, host, port and path: what may be shown.
        query: what follows the `?`; it is sent with every request, and may hold a key.
    """

    base: str
    query: str = ""

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    @property
    def shown(self) -> str:
        """The address as keys of stored answers and messages hold it: hashes stand for query and keys."""
        base = self.base
        for key in sorted(secrets_in([base])):
            base = base.replace(key, _hashed(key))
        return f"{base}?{_hashed(self.query)}" if self.query else base

    @property
    def secrets(self) -> list[str]:
        """What no message may show."""
        values = [value for _, value in parse_qsl(self.query)]
        quoted = [quote(value, safe="") for value in values]
        written = (self.query, *values, *quoted, *sorted(secrets_in([self.base])))
        return [s for s in written if len(s) >= _SHORTEST_SECRET]


def parse_address(address: str) -> Address:
    """Check an address.

    Raises:
        InputError: it is no http or https URL, or it holds a login; no secret is shown.
    """
    if not isinstance(address, str):
        raise InputError(f"base_url must be a str, but got {type(address).__name__}")
    if any(not sign.isprintable() or sign.isspace() for sign in address):
        raise InputError("base_url holds a blank, a line end or a control character: remove it")
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        problem = "its port must be a number up to 65535" if "port" in str(error).lower() else str(error)
        raise InputError(f"base_url {_harmless(address)!r} is no address: {problem}") from None
    if parts.username is not None:
        raise InputError("base_url holds a login, which logs and errors would show: give api_key instead")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise InputError(
            f"base_url must be an http or https address such as 'http://localhost:8000/v1', "
            f"but got {_harmless(address)!r}"
        )
    try:
        parts.hostname.encode("idna" if not parts.hostname.isascii() else "ascii")
    except UnicodeError:
        raise InputError(f"the host of base_url {_harmless(address)!r} is no name of a host") from None
    return Address(urlunsplit(parts._replace(query="", fragment="")), parts.query)


def check_written(address: str) -> None:
    """Check an address that goes into files: a component's settings, a pickle.

    Raises:
        InputError: as for `parse_address`, or there may be a key in its path or behind its `?`; no secret is
            shown.
    """
    parsed = parse_address(address)
    names = [name.lower() for name, _ in parse_qsl(parsed.query, keep_blank_values=True)]
    problem = None
    if any(name not in _HARMLESS for name in names):
        problem = "more than a version behind its '?', which would be written down like a key"
    elif secrets_in([parsed.base]):
        problem = "what looks like a key in its path, which would be written down"
    if problem is not None:
        raise InputError(
            f"base_url has {problem}: leave it out, and set the environment variable OPENAI_BASE_URL (for "
            "backend 'rerank-api' RERANK_BASE_URL, for 'decisions' DECISIONS_BASE_URL) to the whole address"
        )


def check_key(key: str, name: str = "api_key") -> None:
    """Check that a key can be sent in a header.

    Raises:
        InputError: it cannot; the key is not shown.
    """
    if not isinstance(key, str):
        raise InputError(f"{name} must be a str, but got {type(key).__name__}")
    if not key.isascii():
        raise InputError(
            f"{name} holds a sign that is not ASCII, such as a curly quotation mark: copy it again"
        )
    if not key.isprintable():
        raise InputError(f"{name} holds a line end or another control character: copy it again without")
    if key != key.strip():
        raise InputError(f"{name} begins or ends with a blank: remove it")


def check_body(body: Mapping[str, Any] | None, written: Iterable[str] = ()) -> None:
    """Check that further fields of requests hold no key: they are shown, and are part of what is stored.

    Args:
        body: the fields.
        written: fields that every request has already.

    Raises:
        InputError: it is no object of fields, or one holds a key, at whatever depth (its value is not shown),
            or is written already.
    """
    if body is not None and not isinstance(body, Mapping):
        raise InputError(
            f'body must be an object of fields such as {{"truncate": true}}, but got {type(body).__name__}'
        )
    for name in sorted((body or {}).keys() & set(written)):
        raise InputError(f"body must not hold {name!r}, which is written for every request")
    fields = list((body or {}).items())
    while fields:
        name, value = fields.pop()
        if isinstance(value, str) and (_SECRET_FIELD.fullmatch(str(name)) or secrets_in([value])):
            raise InputError(f"body must not hold a key ({str(name)!r} looks like one): give it as api_key")
        if isinstance(value, Mapping):
            fields += value.items()
        elif isinstance(value, list | tuple):
            fields += [(name, item) for item in value]


def check_environment() -> None:
    """Check what the HTTP library and the SDK read from the environment: proxies and headers.

    Raises:
        InputError: a proxy of a kind that cannot be used here, or a header that cannot be sent.
    """
    for name in _HEADERS:
        check_key(os.environ.get(name, ""), name)
    proxies = urllib.request.getproxies()
    for kind in ("http", "https", "all"):
        proxy = proxies.get(kind)
        if not proxy:
            continue
        name = f"{kind.upper()}_PROXY"
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            _ = parts.port
        except ValueError:
            raise InputError(f"the environment variable {name} holds no address of a proxy") from None
        if parts.scheme in ("socks5", "socks5h"):
            if importlib.util.find_spec("socksio") is None:
                raise InputError(
                    f"the environment variable {name} names a SOCKS proxy, which needs the package socksio: "
                    f"pip install socksio, or unset {name}"
                )
        elif parts.scheme not in _PORTS or not parts.hostname:
            raise InputError(
                f"the environment variable {name} names a proxy of the kind {parts.scheme!r}, but only http, "
                f"https, socks5 and socks5h can be used: change or unset it"
            )


def proxies() -> str:
    """The environment variables that name proxies, joined by "or"; empty where none does."""
    known = urllib.request.getproxies()
    return " or ".join(f"{kind.upper()}_PROXY" for kind in ("http", "https", "all") if known.get(kind))


def place(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address: two addresses with equal ones are of one server.

    Raises:
        ValueError: it is no address.
    """
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)


def shown_place(url: str) -> str:
    """Scheme, host and port of an address, for messages: neither path nor query nor login."""
    scheme, host, port = place(url)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" + ("" if port in (None, _PORTS.get(scheme)) else f":{port}")


def _hashed(secret: str) -> str:
    return f"sha256={hashlib.sha256(secret.encode()).hexdigest()[:16]}"


def _harmless(address: str) -> str:
    """An address that could not be read, without what may be a login or a key."""
    bare = address.partition("?")[0].partition("#")[0]
    return redacted(bare, secrets_in([bare]))[:200] if _PLAIN.fullmatch(bare) else HIDDEN
