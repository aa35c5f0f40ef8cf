"""The app run by uvicorn on a socket, until it is told to end: then it finishes what it accepted."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from limrank_plugins.errors import InputError
from limrank_plugins.server.connections import ending_unread


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: a name or an address of this machine.
        port: 0 for any that is free.

    Raises:
        InputError: the address is not one of this machine, or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        why = str(error)
    raise InputError(f"cannot listen on {host}, port {port}: {why}")


def url_of(listener: socket.socket) -> str:
    """The address, as a browser takes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class RunningServer(uvicorn.Server):
    """Serves an app of `build_app`.

    The first signal (SIGTERM, Ctrl-C) lets no new request in, and ends the server when all are answered that
    were accepted; new ones are answered 503 until then. The second one ends it at once. A client that leaves
    its answer unread for `Limits.seconds` loses its connection, so that no end has to wait for it.

    Args:
        app: made by `build_app`, or another with the gate that it lets requests in by as `app.state.gate`,
            and its `Limits` as `app.state.limits`.
        started: called once requests are answered.

    Attributes:
        cut_short: it was ended before all was answered.
    """

    def __init__(self, app: Starlette, started: Callable[[], None] = lambda: None) -> None:
        seconds = app.state.limits.seconds
        super().__init__(
            uvicorn.Config(
                app,
                http=ending_unread(seconds),
                ws="none",
                lifespan="auto",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(seconds),
            )
        )
        self._gate = app.state.gate
        self._tell_started = started
        self.cut_short = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._tell_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does. uvicorn's own would be sent again to the process at the end, and kill it."""
        if self._gate.draining:
            # uvicorn would log every request that is cut short as a defect.
            logging.getLogger("uvicorn.error").disabled = True
            self.cut_short = self.should_exit = self.force_exit = True
        else:
            self.drain()

    def drain(self) -> None:
        """End once everything that was accepted is answered."""
        self._gate.drain(self._end)

    def _end(self) -> None:
        self.should_exit = True


def serve(app: Starlette, listener: socket.socket, started: Callable[[], None]) -> bool:
    """Serve until a signal comes; whether all was answered that was accepted.

    Args:
        app: as for `RunningServer`.
        listener: where; it is closed.
        started: called once requests are answered.
    """
    server = RunningServer(app, started)
    with listener, suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return not server.cut_short
