"""What a user should know about a server, warned of once each."""

from __future__ import annotations

import threading
import warnings

from limrank_plugins.errors import LimRankWarning

_MOST = 100  # a server that says something else every time is not listened to for ever


class Notes:
    """Things noticed while requests are answered. Safe for threads.

    Args:
        who: what the warnings are about.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._said: dict[str, bool] = {}
        self._lock = threading.Lock()

    def say(self, what: str) -> None:
        """Remember something; the same thing again changes nothing."""
        with self._lock:
            if len(self._said) < _MOST:
                self._said.setdefault(what, False)

    def warn(self) -> None:
        """Warn of what is new. Called when all is done: a warning made an error must not fail a document."""
        with self._lock:
            fresh = [what for what, said in self._said.items() if not said]
            self._said |= dict.fromkeys(fresh, True)
        for what in fresh:
            warnings.warn(f"{self._who}: {what}", LimRankWarning, stacklevel=3)
