"""The HTTP client below the openai SDK: replies bounded in size, redirects kept to one server.

The SDK stands on httpx (2.x) or httpx2 (3.x). Both offer hooks that see a request before it is sent
and a response before its body is read; nothing else of them is used.
"""

from __future__ import annotations

import asyncio
import importlib
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from limrank_plugins.backends.remote.addresses import Address, check_environment, place, shown_place
from limrank_plugins.backends.remote.calls import Calls
from limrank_plugins.backends.remote.faults import CallFailed, brief
from limrank_plugins.errors import InputError, require
from limrank_plugins.secrecy import redacted

MOST_BYTES = 64 << 20
"""Of one reply, decompressed. The longest that a model writes, with log-probabilities, is a tenth."""

_PIECE = 1 << 20
_ENCODINGS = "gzip, deflate"


def openai_calls(address: Address, key: str | None, *, timeout: float, **limits: Any) -> Calls[Any]:
    """Calls through the openai SDK.

    Args:
        address: the server's.
        key: kept in a closure, so that no attribute or repr holds it; None for a server without.
        timeout: seconds for one attempt.
        limits: passed to `Calls`.

    Raises:
        InputError: the address or a proxy named by the environment cannot be used.
        MissingExtra: the openai SDK is not installed.
    """
    sdk = require("openai", "openai", "OpenAIBackend")
    check_environment()
    library = _http_library(sdk)
    try:
        library.URL(address.base)
    except (library.InvalidURL, ValueError, TypeError) as error:
        raise InputError(f"base_url {address.base!r} is no address: {error}") from None
    patience = sdk.Timeout(timeout, connect=min(10.0, timeout))
    secrets = [*([key] if key else []), *address.secrets]

    def make() -> Any:
        try:
            client = sdk.DefaultAsyncHttpxClient(
                timeout=patience,
                follow_redirects=True,
                event_hooks={"request": [_sends(address)], "response": [_receives(library)]},
            )
            return sdk.AsyncOpenAI(
                api_key=key or "none",
                base_url=address.base,
                timeout=patience,
                max_retries=0,
                http_client=client,
            )
        except (ImportError, OSError, TypeError, ValueError, library.InvalidURL) as error:
            what = brief(redacted(str(error), secrets))
        raise CallFailed(
            f"no client can be made, see the environment's proxies and SSL files: {what}", fatal=True
        )

    return Calls(make, timeout=timeout, secrets=secrets, **limits)


def _http_library(sdk: Any) -> Any:
    names = [kind.__module__.partition(".")[0] for kind in sdk.DefaultAsyncHttpxClient.__mro__]
    return importlib.import_module(next(name for name in names if name in ("httpx", "httpx2")))


def _sends(address: Address) -> Callable[[Any], Any]:
    async def hook(request: Any) -> None:
        request.headers["accept-encoding"] = _ENCODINGS
        if address.query:
            # Below the library's own log, which shows the whole URL of every request.
            path, _, own = request.url.raw_path.partition(b"?")
            queries = [query for query in (address.query.encode(), own) if query]
            request.extensions["target"] = path + b"?" + b"&".join(queries)

    return hook


def _receives(library: Any) -> Callable[[Any], Any]:
    class Bounded(library.AsyncByteStream):  # type: ignore[misc]
        """A body decompressed here, piece by piece, so that it can be bounded in size and time."""

        def __init__(self, stream: Any, encodings: list[str]) -> None:
            self._stream, self._encodings = stream, encodings

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for piece in _decompressed(self._stream, self._encodings):
                size += len(piece)
                if size > MOST_BYTES:
                    raise CallFailed(
                        f"the server's reply is larger than {MOST_BYTES >> 20} MiB: it was not read", 200
                    )
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def hook(response: Any) -> None:
        if response.has_redirect_location:
            _check_redirect(response)
        named = response.headers.get("content-encoding", "").lower().split(",")
        encodings = [name.strip() for name in named if name.strip() not in ("", "identity")]
        response.stream = Bounded(response.stream, encodings)
        response.headers.pop("content-encoding", None)

    return hook


def _check_redirect(response: Any) -> None:
    here = str(response.request.url)
    try:
        there = str(response.request.url.join(response.headers["location"]))
        same, other = place(here) == place(there), brief(shown_place(there), 100)
    except Exception as error:  # noqa: BLE001 - whatever a library finds wrong with a stranger's address
        raise CallFailed(
            f"the server redirects to what is no address ({type(error).__name__}): correct base_url",
        ) from None
    if not same:
        raise CallFailed(
            f"the server at {shown_place(here)} redirects to {other}: queries and passages are not sent to "
            f"another server than base_url names; if you trust it, give its address as base_url",
        )


async def _decompressed(stream: Any, encodings: list[str]) -> AsyncIterator[bytes]:
    if not encodings:
        async for piece in stream:
            yield piece
        return
    if len(encodings) > 1 or encodings[0] not in ("gzip", "x-gzip", "deflate"):
        raise CallFailed(
            f"the server's reply is compressed as {brief(', '.join(encodings), 60)!r}, but only {_ENCODINGS} "
            f"was asked for",
            200,
        )
    decoder: Any = None
    async for raw in stream:
        if not raw:
            continue
        if decoder is None:
            # 47: gzip or zlib by its header. "deflate" may also come without one.
            bare = encodings[0] == "deflate" and (raw[0] & 0x0F != 8 or raw[0] >> 4 > 7)
            decoder = zlib.decompressobj(-15 if bare else 47)
        while raw:
            try:
                piece = decoder.decompress(raw, _PIECE)
            except zlib.error as error:
                raise CallFailed(f"the server's reply cannot be decompressed: {error}", 200) from None
            raw = decoder.unconsumed_tail
            if piece:
                yield piece
            await asyncio.sleep(0)  # here the time limit can end it
            if decoder.eof:
                break
    if decoder is not None and not decoder.eof:
        raise CallFailed("the server's reply ended before its compressed data did", 200)
