"""Servers of one purpose that speak several dialects: which one is at an address, and with whose key."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from limrank_plugins.backends.remote.addresses import Address, check_key, parse_address, place
from limrank_plugins.backends.remote.faults import CallFailed, may_be_of_one
from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class Service:
    """One kind of server.

    Attributes:
        name: what a backend's `dialect` calls it.
        base: the address of the hosted service; empty for a server of one's own.
        keys: environment variables that hold the key of the hosted service.
        path: what is appended to `base_url`.
    """

    name: str
    base: str = ""
    keys: tuple[str, ...] = ()
    path: str = ""

    def is_service(self, address: Address) -> bool:
        """Whether this is the address of the hosted service."""
        return bool(self.base) and place(self.base) == place(address.base)


S = TypeVar("S", bound=Service)


def find_service(
    base_url: str | None, dialect: str, known: Mapping[str, S], *, variable: str, hosted: str, other: str
) -> tuple[Address, S]:
    """The server's address, without the path that is appended to it, and its dialect.

    Args:
        base_url: what the caller gave; None: the environment's, else that of the dialect's hosted service.
        dialect: a name, or `"auto"`: the one whose hosted service this is, else `other`.
        known: the dialects.
        variable: of the environment, with the address.
        hosted: the dialect where neither it nor an address is given.
        other: the dialect of an address that is not known.

    Raises:
        InputError: there is no such dialect, or no address.
    """
    if dialect != "auto" and dialect not in known:
        raise InputError(f"dialect must be 'auto' or one of {', '.join(known)}, but got {dialect!r}")
    given = base_url if base_url is not None else os.environ.get(variable)
    if given is None:
        chosen = known[dialect if dialect != "auto" else hosted]
        if not chosen.base:
            raise InputError(
                f"dialect {dialect!r} is spoken by servers of your own: give base_url, such as "
                f"'http://localhost:8080'"
            )
        return parse_address(chosen.base), chosen
    address = parse_address(given)
    services = [name for name, one in known.items() if one.is_service(address)]
    chosen = known[dialect if dialect != "auto" else next(iter(services), other)]
    parts = urlsplit(address.base)
    path = parts.path.rstrip("/").removesuffix(f"/{chosen.path}")
    base = urlunsplit(parts._replace(path=path))
    if not path and chosen.is_service(address):
        base = chosen.base
    return address._replace(base=base), chosen


def find_key(
    api_key: str | None, service: Service, address: Address, variable: str
) -> tuple[str | None, str]:
    """The key, or None, and the variable to set it by. A provider's own key is for that provider only.

    Args:
        api_key: what the caller gave; None: the environment's.
        service: who is asked.
        address: where.
        variable: of the environment, with the key of any other server.

    Raises:
        InputError: it cannot be sent, or a hosted service lacks it.
    """
    hosted = service.is_service(address)
    names = (*(service.keys if hosted else ()), variable)
    name = next((name for name in names if os.environ.get(name)), names[0])
    key = (api_key if api_key is not None else os.environ.get(name)) or None
    if key is not None:
        check_key(key, "api_key" if api_key is not None else name)
    elif hosted:
        raise InputError(
            f"no API key: set {' or '.join(names)}, or give api_key, or the base_url of a server of your own"
        )
    return key, name


def with_dialects(failure: CallFailed, url: str, spoken: str, known: Iterable[str]) -> CallFailed:
    """The failure of a server that never answered, with what it may not have understood.

    Args:
        failure: of the call.
        url: where it went.
        spoken: the dialect it was made in.
        known: all dialects.
    """
    return CallFailed(
        f"{failure}; POST {url} was asked in the dialect {spoken!r}: correct base_url, or give another "
        f"dialect, of {', '.join(known)}",
        failure.status,
        fatal=failure.fatal or (failure.status == 422 and not may_be_of_one(failure)),
        complaint=failure.complaint,
    )
