"""How long a client may leave unread what it was sent: its connection ends after that."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


def ending_unread(seconds: float) -> type[H11Protocol]:
    """A protocol for uvicorn that ends a connection on which something waits to be read for so long.

    uvicorn itself waits for ever, with the request, and with its own end.
    """

    class Connection(H11Protocol):
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Told of the first byte that the system does not take, not only of many.
            transport.set_write_buffer_limits(high=0)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._forget()
            super().resume_writing()

        def _forget(self) -> None:
            if self._unread is not None:
                self._unread.cancel()

    return Connection
