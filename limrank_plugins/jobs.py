"""A long job that goes on where it was killed: what it finished is committed, item by item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from limrank_plugins.errors import LimRankError
from limrank_plugins.files import DAMAGE
from limrank_plugins.store import Store


@contextmanager
def reading_entry(store: Store, item: str) -> Iterator[None]:
    """What is wrong with an entry of a journal, whose page may be damaged, becomes one sentence.

    Raises:
        LimRankError: what was read inside is not what was committed.
    """
    try:
        yield
    except DAMAGE as error:
        raise LimRankError(
            f"the entry {item!r} of the journal in {store.path} cannot be used, the file is damaged "
            f"({type(error).__name__}: {error}): put back a copy of it, or move it away, then all that it "
            f"held is computed again"
        ) from error


class Job:
    """The finished items of one job, each a JSON record in the store's journal.

    Commit only what succeeded: what is committed is never computed again.

    Args:
        store: where they are kept; yours to close.
        name: everything the results depend on besides the item; two names share nothing.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._finished = store.committed(name)

    def __len__(self) -> int:
        return len(self._finished)

    def __contains__(self, item: str) -> bool:
        return item in self._finished

    def __iter__(self) -> Iterator[str]:
        return iter(self._finished)

    def find(self, item: str) -> Any | None:
        """What was committed for an item, or None."""
        packed = self._finished.get(item)
        if packed is None:
            return None
        with reading_entry(self._store, item):
            return json.loads(packed)

    def commit(self, item: str, record: Any) -> None:
        """Keep an item's record; it is on disk when this returns."""
        packed = json.dumps(record, ensure_ascii=True).encode("ascii")
        self._store.commit(self._name, item, packed)
        self._finished[item] = packed
