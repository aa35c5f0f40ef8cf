"""What keeps the texts of a gated set out of everything that is written or said.

GPQA's authors ask that its questions never appear in plain text online. What may quote one (a question,
an option, a prompt, a model's answer, the reason of a failure, an error) does not leave the process: files
hold identifiers, letters, numbers and hashes, the models' answers are not stored, nothing is logged.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from limrank_plugins.errors import BackendError, CapabilityError, InputError, MissingExtra
from limrank_plugins.segments import clean_text

T = TypeVar("T")

# What servers and their clients say in these very words; nothing else of a message is repeated.
_HARMLESS = re.compile(
    r"\bHTTP [1-5][0-9]{2}\b|\bAPI(?:Connection|Timeout|Status)Error\b|\bno answer within\b"
)
HIDDEN = "not shown, since it may quote a gated question"


class Gate:
    """Decides about every text of an evaluation.

    Args:
        closed: the set is gated, and nobody asked to show it.
    """

    def __init__(self, closed: bool) -> None:
        self.closed = closed

    def text(self, text: str | None) -> str | None:
        """The text, or None where the gate is closed."""
        return None if self.closed else text

    def reason(self, reason: str) -> str:
        """Why something failed, without what may quote a question."""
        if not self.closed:
            return reason
        known = _HARMLESS.search(reason)
        return f"{known[0]} (the rest is {HIDDEN})" if known else f"the reason is {HIDDEN}"

    def run(self, doing: str, work: Callable[[], T]) -> T:
        """Do something that handles texts; behind a closed gate, its errors and logs say nothing of them.

        Args:
            doing: what is done, as in `"reading"`.
            work: does it.

        Raises:
            Exception: whatever `work` raises, where the gate is open.
            InputError, BackendError: in its place, where it is closed.
        """
        if not self.closed:
            return work()
        try:
            with _no_logs():
                return work()
        except (MissingExtra, CapabilityError):
            raise  # they are about packages and backends, whatever is asked
        except Exception as error:  # noqa: BLE001 - it is told below, without its message
            kind: type[Exception] = InputError if isinstance(error, InputError) else BackendError
            message = (
                f"{doing} ended with {type(error).__name__}: {self.reason(str(error))}; --show-gated shows it"
            )
        # Raised outside the handler: the first error would hang on to it, and a traceback would print it.
        raise kind(message)


def digest(text: str) -> str:
    """A text's SHA-256: enough to tell whether two of them are the same."""
    return hashlib.sha256(clean_text(text).encode("utf-8")).hexdigest()


@contextmanager
def _no_logs() -> Iterator[None]:
    """Clients and engines log what they send when they are told to."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
