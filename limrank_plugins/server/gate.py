"""How many requests are under way, and whether new ones are still accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from limrank_plugins.server.refusals import come_again
from limrank_plugins.wording import number_of


class Gate:
    """Lets requests in, a number of them at a time.

    Attributes:
        under_way: requests that are inside.
        draining: no other is let in, as the server is about to end.

    Args:
        most: how many may be inside at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.under_way = 0
        self.draining = False
        self._emptied: Callable[[], None] | None = None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Within the block a request is inside.

        Raises:
            Refusal: there are as many as may be, or no more are let in.
        """
        if self.draining:
            raise come_again(
                503, "this server is about to end and finishes what it accepted: ask another one"
            )
        if self.under_way >= self._most:
            raise come_again(
                429, f"{number_of(self._most, 'request')} at a time are accepted here: ask again later"
            )
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
            self._tell()

    def drain(self, emptied: Callable[[], None]) -> None:
        """Let nobody in any more; `emptied` is called once nobody is inside, perhaps at once."""
        self.draining, self._emptied = True, emptied
        self._tell()

    def _tell(self) -> None:
        if self.draining and not self.under_way and self._emptied is not None:
            self._emptied()
