"""How agents reach the tools: over the process's own stdin and stdout, or over HTTP on this machine."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

from mcp.server.stdio import stdio_server

from limrank_plugins.server import running
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.tools import ToolServer

PATH = "/mcp"


def serve_stdio(tools: ToolServer) -> None:
    """Answer one client until it closes stdin, or a signal. What else is printed meanwhile goes to stderr."""

    async def answer() -> None:
        async with stdio_server() as (incoming, outgoing):
            await tools.server.run(incoming, outgoing, tools.server.create_initialization_options())

    # Ctrl-C would end the loop only once the thread that waits for a line got one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(answer())


def serve_http(
    tools: ToolServer, listener: socket.socket, limits: Limits, started: Callable[[], None]
) -> bool:
    """Answer clients of Streamable HTTP until a signal comes, as `running.serve` does.

    Every call stands alone, and its answer is one piece of JSON: no connection is held open between calls, on
    which an end would have to wait. The SDK refuses another `Host` or `Origin` than this machine's.
    """
    app = tools.server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, max_request_body_size=limits.body
    )
    app.state.gate, app.state.limits = tools.gate, limits
    return running.serve(app, listener, started)
