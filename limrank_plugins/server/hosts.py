"""Which names in a `Host` header mean this server: pages of other sites must not reach it (DNS rebinding)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names.

    Attributes:
        names: in lower case, without a port.
        addresses: any IP address is one, too: of a server that listens on all of its machine's. A name that
            was made to point here is none.
    """

    names: frozenset[str]
    addresses: bool = False

    @classmethod
    def of(cls, bound: str, also: Collection[str] = ()) -> Hosts:
        """Those of a server that listens on this address, and further ones it is known by."""
        names = {name.lower().strip("[]") for name in (*LOOPBACK, bound, *also)}
        return cls(frozenset(names - {"", "0.0.0.0", "::"}), bound in ("", "0.0.0.0", "::"))

    def admit(self, header: str) -> bool:
        """Whether a `Host` header, with or without a port, names this server."""
        name = _without_port(header)
        return name in self.names or (self.addresses and _is_address(name))


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach a server that listens there."""
    return host.lower() == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _without_port(header: str) -> str:
    name, colon, port = header.strip().lower().rpartition(":")
    if not colon or not port.isdigit() or (":" in name and not name.endswith("]")):
        name = header.strip().lower()
    return name.removesuffix(".").strip("[]")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
