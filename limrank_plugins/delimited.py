"""Rows of CSV and TSV: the mark between cells, the line of names, quotes, and rows that are no CSV."""

from __future__ import annotations

import csv
import itertools
import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence

from limrank_plugins import files
from limrank_plugins.errors import InputError
from limrank_plugins.rows import NoTextField, Row, Unusable, likely_field, refused
from limrank_plugins.wording import shortened

_QUOTE = "a text that holds the delimiter, a quote or a line end stands in quotes, each quote in it doubled"
Lines = Iterator[tuple[int, str]]


def delimited_rows(
    path: str | os.PathLike[str],
    lines: Lines,
    kind: str,
    names: Collection[str],
    *,
    unusable: Unusable = refused,
    broken: dict[int, InputError] | None = None,
) -> Iterator[Row]:
    """The rows of a table: by a first line of names, or of two columns, an id and a text.

    Args:
        path: the file, for messages.
        lines: its numbered lines, with their ends.
        kind: CSV or TSV.
        names: what the column of the texts may be called, in small letters.
        unusable: gets what is wrong with a row.
        broken: as `files.read_lines` fills it; what was said is taken out.

    Raises:
        InputError: no column is named as texts are, two have one name, the line of names is no CSV; and
            whatever `unusable` raises.
    """
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        return
    csv.field_size_limit(max(csv.field_size_limit(), files.MAX_LINE_BYTES))
    delimiter = "\t" if kind == "TSV" else _delimiter(first[1])
    columns = next(csv.reader([first[1]], delimiter=delimiter))
    table = _Table(
        path, itertools.chain([first], lines), delimiter, unusable, {} if broken is None else broken
    )
    if any(name.strip().lower() in names for name in columns):
        yield from table.rows()
    elif len(columns) != 2 or len(columns[1].split()) < 2:
        cells = next(csv.reader(itertools.islice((line for _, line in lines), 1), delimiter=delimiter), [])
        raise NoTextField(
            f"{path}, line {first[0]}: no column of {shortened(', '.join(map(repr, columns)))} is named as "
            f"texts are ({', '.join(names)}): name the one that holds them (--field), or write a first line "
            f"of names",
            likely_field(dict(zip((name.strip() for name in columns), cells, strict=False))),
        )
    elif kind == "TSV":  # as MS MARCO has it: quotes are characters like any
        yield from table.pairs()
    else:
        yield from table.rows(["_id", "text"])


def _delimiter(line: str) -> str:
    return max(",;\t|", key=lambda mark: len(next(csv.reader([line], delimiter=mark))))


class _Table:
    """The lines of a table, and its rows.

    Attributes:
        taken: the numbered lines of the row that is being read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        lines: Lines,
        delimiter: str,
        unusable: Unusable,
        broken: dict[int, InputError],
    ) -> None:
        self._path, self._lines, self._delimiter = path, lines, delimiter
        self._unusable, self._broken = unusable, broken
        self._again: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []

    def pairs(self) -> Iterator[Row]:
        """An id, a tab and a text on each line."""
        for number, line in self._lines:
            where = f"{self._path}, line {number}"
            identifier, tab, text = line.rstrip("\r\n").partition("\t")
            if number in self._broken:
                self._unusable(self._broken.pop(number))
            elif not line.strip():
                continue
            elif tab:
                yield Row(where, number, {"_id": identifier, "text": text})
            else:
                self._unusable(InputError(f"{where}: expected id, tab and text: {line[:80]!r}"))

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows by column name; the first row holds the names, unless they are known."""
        reader = self._reader()
        while True:
            self.taken.clear()
            try:
                cells = next(reader, None)
            except csv.Error as error:
                (first, _), (last, _) = self.taken[0], self.taken[-1]
                wrong = InputError(f"{self._path}, line {first}: not CSV ({error} in line {last}): {_QUOTE}")
                if columns is None:
                    raise wrong from error
                self._unusable(wrong)
                self._broken.pop(first, None)
                # A quote that is not closed takes in all lines to the next one: they are rows of their own.
                self._again.extendleft(reversed(self.taken[1:]))
                reader = self._reader()
                continue
            if cells is None:
                return
            where = f"{self._path}, line {self.taken[0][0]}"
            not_decoded = [self._broken.pop(number) for number, _ in self.taken if number in self._broken]
            if columns is None:
                if not_decoded:
                    raise not_decoded[0]
                columns = _column_names(cells, where)
            elif not_decoded:
                self._unusable(not_decoded[0])
            elif cells:
                width = len(columns)
                if len(cells) < width or any(cells[width:]):
                    self._unusable(
                        InputError(
                            f"{where}: {len(cells)} columns, but there are {width} "
                            f"({shortened(', '.join(columns))}): {_QUOTE}"
                        )
                    )
                    continue
                values = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
                yield Row(where, self.taken[0][0], values)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._each(), delimiter=self._delimiter, strict=True)

    def _each(self) -> Iterator[str]:
        while line := self._again.popleft() if self._again else next(self._lines, None):
            self.taken.append(line)
            yield line[1]


def _column_names(cells: Sequence[str], where: str) -> list[str]:
    names = [name.strip() for name in cells]
    for place, name in enumerate(names):
        if name and name in names[:place]:
            raise InputError(
                f"{where}: columns {names.index(name) + 1} and {place + 1} are both {name!r}: rename one"
            )
    return names
