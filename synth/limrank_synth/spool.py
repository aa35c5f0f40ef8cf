"""Rows that are too many to hold: written to an unnamed file as they come, read back in any order."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from limrank_plugins.files import json_line
from limrank_plugins.outputs import naming
from limrank_synth.records import LabelledPassage

Rows = Callable[[], Iterator[LabelledPassage]]
"""Rows that can be gone through more than once: every call begins anew."""


class Spool:
    """Rows on disk, eight bytes of memory for each. Use it in a `with`: the file goes with it.

    Args:
        folder: on whose disk it is; default: the system's temporary folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._name = f"a temporary file in {tempfile.gettempdir() if folder is None else folder}"
        self._starts = array("q")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, row: LabelledPassage) -> int:
        """Put a row at the end; its number, from 0."""
        line = json_line(row.as_json()).encode("utf-8")
        with naming(self._name):
            self._starts.append(self._file.seek(0, 2))
            self._file.write(line)
        return len(self._starts) - 1

    def line(self, number: int) -> str:
        """The row with this number as the line of JSON that a file of rows holds."""
        with naming(self._name):  # what waits to be written is written first
            self._file.seek(self._starts[number])
        return self._file.readline().decode("utf-8")

    def row(self, number: int) -> LabelledPassage:
        """The row with this number."""
        return LabelledPassage.from_json(json.loads(self.line(number)))


def by_query(rows: Iterable[LabelledPassage], folder: Path | None = None) -> Iterator[list[LabelledPassage]]:
    """The rows of each query together, queries in the order of their first rows.

    Memory holds the identifiers and one query's rows; the rest waits on disk.

    Args:
        rows: in any order.
        folder: on whose disk they wait.
    """
    with Spool(folder) as spool:
        places: dict[str, array[int]] = {}
        for row in rows:
            places.setdefault(row.query_id, array("q")).append(spool.add(row))
        for numbers in places.values():
            yield [spool.row(number) for number in numbers]
