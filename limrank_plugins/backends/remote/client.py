"""The HTTP client below the openai SDK and beside it: replies bounded in size, redirects kept to one server.

The SDK stands on httpx (2.x) or httpx2 (3.x). Both offer hooks that see a request before it is sent
and a response before its body is read; nothing else of them is used but plain requests.
"""

from __future__ import annotations

import asyncio
import importlib
import json
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


def openai_calls(
    address: Address, key: str | None, *, timeout: float, concurrency: int, **limits: Any
) -> Calls[Any]:
    """Calls through the openai SDK.

    Args:
        address: the server's.
        key: kept in a closure, so that no attribute or repr holds it; None for a server without.
        timeout: seconds for one attempt.
        concurrency: calls in flight at a time; so many connections stay open for the next ones.
        limits: passed to `Calls`.

    Raises:
        InputError: the address or a proxy named by the environment cannot be used.
        MissingExtra: the openai SDK is not installed.
    """
    sdk = require("openai", "openai", "OpenAIBackend")
    library = _checked_library(sdk, address)
    secrets = [*([key] if key else []), *address.secrets]

    def make() -> Any:
        http_client = sdk.DefaultAsyncHttpxClient(**_http_options(library, address, timeout, concurrency))
        return sdk.AsyncOpenAI(
            api_key=key or "none",
            base_url=address.base,
            timeout=http_client.timeout,
            max_retries=0,
            http_client=http_client,
        )

    limits |= {"timeout": timeout, "concurrency": concurrency}
    return Calls(_redacting(make, library, secrets), secrets=secrets, **limits)


def http_calls(
    address: Address, key: str | None, *, timeout: float, concurrency: int, **limits: Any
) -> Calls[Any]:
    """Calls of servers that are no OpenAI: plain HTTP, into which nothing of OpenAI's environment goes.

    Their client is for `post_json`; arguments and errors are those of `openai_calls`.
    """
    library = _checked_library(require("openai", "openai", "RerankAPIBackend"), address)
    secrets = [*([key] if key else []), *address.secrets]

    def make() -> Any:
        return library.AsyncClient(**_http_options(library, address, timeout, concurrency, key))

    limits |= {"timeout": timeout, "concurrency": concurrency}
    return Calls(_redacting(make, library, secrets), secrets=secrets, **limits)


async def post_json(client: Any, url: str, body: dict[str, Any]) -> Any:
    """The response to a JSON body.

    Raises:
        HTTPStatusError: the library's, with what the server wrote as its message.
    """
    headers = {"content-type": "application/json", "accept": "application/json"}
    response = await client.post(url, content=json.dumps(body).encode("ascii"), headers=headers)
    if not response.is_success:
        kind = _library_of(type(client)).HTTPStatusError
        raise kind(response.text, request=response.request, response=response)
    return response


async def post_through_sdk(client: Any, path: str, body: dict[str, Any]) -> Any:
    """The response to a JSON body, sent by the openai SDK as it is.

    The SDK's methods go through a body by its types first, which takes them longer than the call itself.

    Raises:
        APIError: the SDK's.
    """
    library = _library_of(require("openai", "openai", "OpenAIBackend").DefaultAsyncHttpxClient)
    return await client.post(path, body=body, cast_to=library.Response)


def _checked_library(sdk: Any, address: Address) -> Any:
    """The HTTP library of the SDK, once it is known to take the address and the environment's proxies."""
    check_environment()
    library = _library_of(sdk.DefaultAsyncHttpxClient)
    try:
        library.URL(address.base)
    except (library.InvalidURL, ValueError, TypeError) as error:
        raise InputError(f"base_url {address.shown!r} is no address: {error}") from None
    return library


def _http_options(
    library: Any, address: Address, timeout: float, concurrency: int, key: str | None = None
) -> dict[str, Any]:
    return {
        "timeout": library.Timeout(timeout, connect=min(10.0, timeout)),
        # The library's own bound is 20: the others would be closed after each call, and opened for the next.
        "limits": library.Limits(max_connections=None, max_keepalive_connections=concurrency),
        "follow_redirects": True,
        "event_hooks": {"request": [_sends(address, key)], "response": [_receives(library)]},
    }


def _redacting(make: Callable[[], Any], library: Any, secrets: list[str]) -> Callable[[], Any]:
    """The maker, whose own errors are raised without secrets."""

    def redacting() -> Any:
        try:
            return make()
        except (ImportError, OSError, TypeError, ValueError, library.InvalidURL) as error:
            what = brief(redacted(str(error), secrets))
        raise CallFailed(
            f"no client can be made, see the environment's proxies and SSL files: {what}", fatal=True
        )

    return redacting


def _library_of(client: type[Any]) -> Any:
    names = [kind.__module__.partition(".")[0] for kind in client.__mro__]
    return importlib.import_module(next(name for name in names if name in ("httpx", "httpx2")))


def _sends(address: Address, key: str | None = None) -> Callable[[Any], Any]:
    async def hook(request: Any) -> None:
        request.headers["accept-encoding"] = _ENCODINGS
        if key is not None:
            request.headers["authorization"] = f"Bearer {key}"
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
