"""What stands before every request: who may ask, and how much is read of what they send.

Checked in this order: `Host` (421), `Origin` (403), the token (401), the kind of the body (415), whether
there is room (429, 503), its size (413) and how long it takes to arrive (408). What is refused is never held
in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any

from limrank_plugins.server.gate import Gate
from limrank_plugins.server.hosts import Hosts
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.refusals import Refusal, too_late

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/", "/health", "/ready"})
"""The page, which asks for the token and holds nothing but itself; and what load balancers ask, which have
none and get nothing but yes or no."""
_LAST_SECONDS = 1.0
"""How long after its time a request may be told that it is over."""
_DROPPED = 64 << 20
"""Bytes of a body that are read and dropped, so that who sends too much gets to read why."""


class Guards:
    """The app behind its guards.

    Args:
        app: what is guarded.
        hosts: the names this server answers to.
        tokens: any one of them must be sent as `Authorization: Bearer …`; none: nobody is asked for one.
        limits: of bodies.
        gate: lets requests with a body in.
        answered: told the status of every request with a body; 499 where the client hung up.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: Hosts,
        tokens: Iterable[str],
        limits: Limits,
        gate: Gate,
        answered: Callable[[int], None],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._digests = [_digest(token.encode("utf-8")) for token in tokens]
        self._limits = limits
        self._gate = gate
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            raise RuntimeError(f"there is nothing here for a {scope['type']}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, status = _Body(receive), 499
        try:
            self._check_sender(scope)
            if scope["method"] != "POST":
                await self._app(scope, receive, send)
                return
            _check_kind(scope)
        except Refusal as refusal:
            await self._refuse(refusal, body, send)
            return

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with self._gate.inside():
                whole = await self._read(scope, body)
                async with asyncio.timeout(self._limits.seconds + _LAST_SECONDS) as time:
                    await self._app(scope, _again(whole, receive), noted)
        except Refusal as refusal:
            status = refusal.status
            await self._refuse(refusal, body, send)
        except _HungUp:
            pass
        except TimeoutError:
            # Whoever does not read the answer keeps no place; the connection ends with half of it.
            if not time.expired():
                raise
            if status == 499:  # nothing was sent, as the loop had much else to do
                status = 503
                await self._refuse(too_late(self._limits.seconds), body, send)
        finally:
            self._answered(status)

    def _check_sender(self, scope: Scope) -> None:
        hosts = _headers(scope, b"host")
        if len(hosts) != 1 or not self._hosts.admit(hosts[0]):
            raise Refusal(
                421,
                "this server does not answer to that Host: use its address, or start it with --allow-host",
            )
        origins = _headers(scope, b"origin")
        if any(origin.lower() not in _origins(hosts[0]) for origin in origins):
            raise Refusal(403, "pages of another origin may not ask this server")
        if self._digests and scope["path"] not in OPEN and not self._knows(scope):
            raise Refusal(
                401, "a token is needed: send Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
            )

    def _knows(self, scope: Scope) -> bool:
        """Whether a token was sent that is one of ours; takes the same time for any that is not."""
        authorization = b"".join(value for name, value in scope["headers"] if name == b"authorization")
        kind, _, token = authorization.partition(b" ")
        digest = _digest(token.strip())
        equal = [secrets.compare_digest(digest, known) for known in self._digests]
        return any(equal) and kind.lower() == b"bearer"

    async def _read(self, scope: Scope, body: _Body) -> bytes:
        most = self._limits.body
        lengths = _headers(scope, b"content-length")
        # One of thousands of digits is no number that Python reads; 18 hold any body.
        if lengths and (len(lengths[0]) > 18 or not lengths[0].isdigit() or int(lengths[0]) > most):
            raise _too_large(most)
        whole = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while not body.ended:
                    whole += await body.part()
                    if len(whole) > most:
                        raise _too_large(most)
        except TimeoutError:
            late = f"the body did not arrive within {self._limits.body_seconds:g} seconds"
        else:
            return bytes(whole)
        raise Refusal(408, late)

    async def _refuse(self, refusal: Refusal, body: _Body, send: Send) -> None:
        """Answer at once, and drop what still comes before the connection ends: the answer could be lost."""
        content = json.dumps({"detail": refusal.detail}).encode("ascii")
        headers = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            "connection": "close",
            **refusal.headers,
        }
        lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": refusal.status, "headers": lines})
        await send({"type": "http.response.body", "body": content, "more_body": True})
        dropped = 0
        with suppress(TimeoutError, _HungUp):
            async with asyncio.timeout(0 if refusal.status == 408 else self._limits.body_seconds):
                while not body.ended and dropped <= _DROPPED:
                    dropped += len(await body.part())
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _HungUp(Exception):
    """The client went away before all of its request had come."""


class _Body:
    """A body as it comes. `ended`: all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _HungUp
        self.ended = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part


def _check_kind(scope: Scope) -> None:
    """A form of another site cannot send this kind, and a script of one must ask first, which is refused."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in _headers(scope, b"content-type")]
    if kinds != ["application/json"]:
        raise Refusal(415, "send the request as Content-Type: application/json")


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the body is too large: at most {most:,} bytes are accepted")


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _origins(host: str) -> tuple[str, str]:
    return f"http://{host.lower()}", f"https://{host.lower()}"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for the app to read; after it, whatever comes."""
    is_read = False

    async def receive_again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
