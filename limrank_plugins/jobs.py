"""A long job that goes on where it was killed: what it finished is committed, item by item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from limrank_plugins.store import Store


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
        return None if packed is None else json.loads(packed)

    def commit(self, item: str, record: Any) -> None:
        """Keep an item's record; it is on disk when this returns."""
        packed = json.dumps(record, ensure_ascii=True).encode("ascii")
        self._store.commit(self._name, item, packed)
        self._finished[item] = packed
