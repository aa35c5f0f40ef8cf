"""A store for a query that is asked anew: `--fresh` of `search` and `ask`. Jobs: see `begun_anew`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from limrank_plugins.store import Store


class FreshStore(Store):
    """Finds nothing that was there before it was opened: neither replies nor finished items of jobs.

    What it is given is kept as ever and replaces what was there, so that the next job, opened without
    `fresh`, finds the new. Until then nothing is lost: a job that is killed before it has replaced
    everything leaves the rest as it was.

    Args:
        path: as for `Store`.
        max_bytes: as for `Store`.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "store.sqlite")
        >>> with Store(file) as store:
        ...     store.commit("job", "item", b"old")
        >>> with FreshStore(file) as store:
        ...     print(store.find("job", "item"))
        None
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int | None = 2 << 30) -> None:
        self._own_keys: set[bytes] = set()
        self._own_items: set[tuple[str, str]] = set()
        super().__init__(path, max_bytes=max_bytes)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values among those keys that were stored since this was opened."""
        return super().get_many([key for key in keys if key in self._own_keys])

    def keep_many(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Store values, as `Store.keep_many`; `put_many` does it by this."""
        rows = list(items)
        super().keep_many(rows)
        self._own_keys.update(key for key, _ in rows)

    def commit(self, job: str, item: str, value: bytes) -> None:
        """Record an item of a job as done, as `Store.commit`."""
        super().commit(job, item, value)
        self._own_items.add((job, item))

    def find(self, job: str, item: str) -> bytes | None:
        """The value of one item, if it was committed since this was opened."""
        return super().find(job, item) if (job, item) in self._own_items else None

    def each(self, job: str) -> Iterator[tuple[str, bytes]]:
        """The items of a job that were committed since this was opened."""
        return ((item, value) for item, value in super().each(job) if (job, item) in self._own_items)

    def committed(self, job: str) -> dict[str, bytes]:
        """The items of a job that were committed since this was opened."""
        return {
            item: value for item, value in super().committed(job).items() if (job, item) in self._own_items
        }
