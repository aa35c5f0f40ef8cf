"""Tables for Markdown and LaTeX: of results with their settings (`build_table`), and of any cells.

A column of results has one setting, named in its foot: that of the first of our own results in it (of the
first result where none is ours). A number of any other setting gets a footnote that says what differs; a
published one always gets one with its source. Intervals stand behind the numbers where they are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limrank_evals.identity import SETTINGS, Result
from limrank_evals.stats import Interval
from limrank_plugins.errors import InputError
from limrank_plugins.segments import CONTROLS

_LATEX = str.maketrans(
    {c: "\\" + c for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
)

# ---- any cells ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table, its interval where it has one, and the numbers of its footnotes from 1."""

    number: str
    interval: tuple[str, str] | None = None
    notes: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """Number and interval, without the marks."""
        return self.number if self.interval is None else f"{self.number} ({' to '.join(self.interval)})"


@dataclass(frozen=True, slots=True)
class Grid:
    """Heads and rows of cells, with lines of text and numbered footnotes below.

    Attributes:
        heads: of all columns.
        rows: their cells; None is shown as a dash.
        below: lines of text under the table.
        notes: the footnotes that cells refer to; the first one is number 1.
        left: how many columns, from the first, are aligned to the left.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str | Cell | None]]
    below: Sequence[str] = ()
    notes: Sequence[str] = ()
    left: int = 1

    def texts(self) -> list[list[str]]:
        """The rows as plain text, footnotes as in `12.5 [1]`."""
        return [[_text(cell) for cell in row] for row in self.rows]

    def markdown(self) -> str:
        """The table in GitHub's Markdown."""
        marks = ["---"] * self.left + ["---:"] * (len(self.heads) - self.left)
        lines = []
        for row in (self.heads, marks, *self.texts()):
            lines.append(" | ".join(_plain(cell).replace("|", "\\|") for cell in row))
        below = [*self.below, *(f"[{number}] {note}" for number, note in enumerate(self.notes, start=1))]
        return "\n".join([*(f"| {line} |" for line in lines), "", "\n\n".join(map(_plain, below))]) + "\n"

    def latex(self, *, grouped: bool = False) -> str:
        """The table for LaTeX with booktabs; `grouped` rules a line wherever the first cell changes."""
        columns = "l" * self.left + "r" * (len(self.heads) - self.left)
        lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", " & ".join(map(_tex, self.heads)) + r" \\"]
        for number, row in enumerate(self.rows):
            if not number or (grouped and row[0] != self.rows[number - 1][0]):
                lines.append("\\midrule")
            lines.append(" & ".join(map(_tex, row)) + r" \\")
        lines += ["\\bottomrule", "\\end{tabular}", "", *(f"\\par {_tex(line)}" for line in self.below)]
        lines += [f"\\par{_mark(number)} {_tex(note)}" for number, note in enumerate(self.notes, start=1)]
        return "\n".join(lines) + "\n"


def number_text(value: float | None, *, times: float = 100, decimals: int = 1, signed: bool = False) -> str:
    """A number as reports print it; a dash for None."""
    if value is None:
        return "–"
    # Plus 0: what rounds to zero has no minus.
    return f"{round(times * value, decimals) + 0.0:{'+' if signed else ''}.{decimals}f}"


def interval_text(
    interval: Interval | Sequence[float] | None,
    *,
    times: float = 100,
    decimals: int = 1,
    signed: bool = False,
    between: str = " to ",
) -> str:
    """An interval as reports print it; a dash for None."""
    if interval is None:
        return "–"
    return between.join(number_text(end, times=times, decimals=decimals, signed=signed) for end in interval)


def value_text(value: float | None, *, signed: bool = False) -> str:
    """A number as terminals show it, with four decimals; a dash for None."""
    return number_text(value, times=1, decimals=4, signed=signed)


def ends_text(interval: Interval | Sequence[float] | None, *, signed: bool = False) -> str:
    """An interval as terminals show it; a dash for None."""
    return interval_text(interval, times=1, decimals=4, signed=signed, between=" … ")


def level_text(level: float) -> str:
    """How sure an interval is, as a percentage that is not rounded up to certainty."""
    return f"{100 * level:.10g}%"


def _text(cell: str | Cell | None) -> str:
    if isinstance(cell, Cell):
        return cell.text + "".join(f" [{note}]" for note in cell.notes)
    return "–" if cell is None else cell


def _tex(cell: str | Cell | None) -> str:
    if isinstance(cell, Cell):
        return _tex(cell.text) + _mark(*cell.notes)
    return CONTROLS.sub("·", _text(cell)).translate(_LATEX)


def _mark(*notes: int) -> str:
    return f"\\textsuperscript{{{','.join(map(str, notes))}}}" if notes else ""


def _plain(text: str) -> str:
    """One line of text that Markdown does not take for a tag."""
    return CONTROLS.sub("·", " ".join(text.replace("<", "&lt;").split()))


# ---- results ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """What the numbers below it are of."""

    benchmark: str
    split: str
    measure: str

    @property
    def head(self) -> str:
        """The three in one line."""
        return " ".join(filter(None, (self.benchmark, self.split, self.measure)))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of results.

    Attributes:
        columns: those behind the first.
        rows: the systems' names and their cells; None where a system has no number.
        settings: what holds for every column's unmarked numbers.
        notes: the footnotes, the first one is number 1.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    settings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """The same as cells, ready to be written."""
        heads = ["system", *(column.head for column in self.columns)]
        below = ("Measures are times 100.", *self.settings)
        return Grid(heads, [(name, *cells) for name, cells in self.rows], below, self.notes)

    def markdown(self) -> str:
        """The table in GitHub's Markdown, its settings and footnotes below."""
        return self.grid.markdown()

    def latex(self) -> str:
        """The table for LaTeX with booktabs, its settings and footnotes below."""
        return self.grid.latex()


def build_table(results: Iterable[Result], measures: Sequence[str] | None = None) -> Table:
    """A table of results.

    Args:
        results: at most one for each system, benchmark and split; rows and columns come in their order.
        measures: which to show; all that any result has, by default.

    Raises:
        InputError: no results, or two numbers for one cell: give their systems other names.
    """
    results = list(results)
    columns: dict[Column, list[Result]] = {}
    for result in results:
        for measure in result.scores:
            if measures is None or measure in measures:
                column = Column(result.identity.benchmark, result.identity.split, measure)
                columns.setdefault(column, []).append(result)
    if not columns:
        raise InputError("there are no results to put into a table")
    notes: dict[str, int] = {}
    cells: dict[tuple[str, int], Cell] = {}
    settings = []
    for place, (column, inside) in enumerate(columns.items()):
        main = next((result for result in inside if not result.published), inside[0]).identity.setting()
        settings.append(f"{column.head}: {_setting_text(main)}.")
        for result in inside:
            if (result.system, place) in cells:
                raise InputError(
                    f"{result.system!r} has two numbers for {column.head}: name them differently"
                )
            differences = result.identity.differences(main)
            if result.published:
                differences.append(f"published: {result.source}")
            marks = (notes.setdefault("; ".join(differences), len(notes) + 1),) if differences else ()
            numbers = [
                number_text(number, decimals=2)
                for number in (result.scores[column.measure], *result.intervals.get(column.measure, ()))
            ]
            if result.published:
                # Never more digits than its source has; 12.5 and 12.50 are one number there.
                numbers = [_short(text) for text in numbers]
            interval = (numbers[1], numbers[2]) if len(numbers) == 3 else None
            cells[result.system, place] = Cell(numbers[0], interval, marks)
    systems = list(dict.fromkeys(result.system for result in results))
    rows = tuple((s, tuple(cells.get((s, place)) for place in range(len(columns)))) for s in systems)
    return Table(tuple(columns), rows, tuple(settings), tuple(notes))


def _setting_text(setting: dict[str, str | int | None]) -> str:
    known = [f"{SETTINGS[name]} {value}" for name, value in setting.items() if value not in ("", None)]
    return ", ".join(known) or "no setting is known"


def _short(number: str) -> str:
    """Without zeros at the end, but for the first behind the point."""
    whole, point, rest = number.partition(".")
    return whole + point + (rest.rstrip("0") or rest[:1])
