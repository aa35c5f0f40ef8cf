"""How agents reach the tools: over the process's own stdin and stdout, or over HTTP on this machine."""

from __future__ import annotations

import asyncio
import contextvars
import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limrank_plugins.segments import clean_text
from limrank_plugins.server import running
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.tools import ToolServer

if TYPE_CHECKING:
    from mcp.shared._context_streams import ContextReceiveStream

PATH = "/mcp"


def serve_stdio(tools: ToolServer) -> None:
    """Answer one client until it closes stdin, or a signal. What else is printed meanwhile goes to stderr."""

    async def answer() -> None:
        async with stdio_server() as (incoming, outgoing):
            options = tools.server.create_initialization_options()
            await tools.server.run(_WholeMessages(incoming), outgoing, options)

    # Ctrl-C would end the loop only once the thread that waits for a line got one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(answer())


def serve_http(
    tools: ToolServer, listener: socket.socket, limits: Limits, started: Callable[[], None]
) -> bool:
    """Answer clients of Streamable HTTP until a signal comes, as `running.serve` does."""
    return running.serve(http_app(tools, limits), listener, started)


def http_app(tools: ToolServer, limits: Limits) -> Starlette:
    """The tools as an ASGI app.

    Every call stands alone, and its answer is one piece of JSON: no connection is held open between calls, on
    which an end would have to wait. The SDK refuses another `Host` or `Origin` than this machine's.
    """
    app = tools.server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, max_request_body_size=limits.body
    )
    app.add_middleware(_WholeBodies, most=limits.body)
    app.state.gate, app.state.limits = tools.gate, limits
    return app


# ---- half characters ----------------------------------------------------------------------------
# Programs cut emojis within and write the half as an escape. The SDK's parser takes none: it would leave
# such a call unanswered.


def whole_characters(message: str) -> str:
    """JSON in which half a character is U+FFFD; what holds none, or is no JSON, comes back as it is."""
    with suppress(ValueError, RecursionError):
        read = json.dumps(json.loads(message), ensure_ascii=False)
        if (whole := clean_text(read)) != read:
            return whole
    return message


class _WholeMessages:
    """The messages of a stream of the SDK; one that its parser did not take is read again."""

    def __init__(self, stream: ContextReceiveStream[SessionMessage | Exception]) -> None:
        self._stream = stream

    @property
    def last_context(self) -> contextvars.Context | None:
        """Of who sent the last message."""
        return self._stream.last_context

    async def receive(self) -> SessionMessage | Exception:
        """The next one."""
        return _read_again(await self._stream.receive())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return _read_again(await self._stream.__anext__())

    async def aclose(self) -> None:
        """Take no more."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


def _read_again(message: SessionMessage | Exception) -> SessionMessage | Exception:
    if isinstance(message, ValidationError):
        line = message.errors()[0]["input"]
        if isinstance(line, str):
            with suppress(ValidationError):
                whole = jsonrpc_message_adapter.validate_json(whole_characters(line), by_name=False)
                return SessionMessage(whole)
    return message


class _WholeBodies:
    """The app, which gets bodies whose characters are whole. No more of one is held than is accepted."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body, came, more = bytearray(), list[Message](), True
        while more and len(body) <= self._most:
            message = await receive()
            came.append(message)
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if not more and came[-1]["type"] == "http.request" and b"\\u" in body:
            with suppress(UnicodeDecodeError):
                whole = whole_characters(body.decode("utf-8")).encode("utf-8")
                came = [{"type": "http.request", "body": whole, "more_body": False}]

        async def again() -> Message:
            return came.pop(0) if came else await receive()

        await self._app(scope, again, send)
