"""Tables of results for Markdown and LaTeX: one row a system, one column a benchmark's measure.

A column has one setting, told in its foot: that of the first of our own results in it (of the first result
where none is ours). A number of any other setting gets a footnote that says what differs; a published one
always gets one with its source. Intervals stand behind the numbers where they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limrank_evals.identity import SETTINGS, Result
from limrank_plugins.errors import InputError

_LATEX = str.maketrans(
    {c: "\\" + c for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


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
    """A table that is ready to be written.

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
    def heads(self) -> tuple[str, ...]:
        """Of the columns behind the first, as text."""
        return tuple(column.head for column in self.columns)

    def markdown(self) -> str:
        """The table in GitHub's Markdown, its settings and footnotes below."""

        def shown(cell: Cell | None) -> str:
            return "–" if cell is None else cell.text + "".join(f" [{note}]" for note in cell.notes)

        lines = [_row(["system", *self.heads]), _row(["---", *["---:"] * len(self.heads)])]
        lines += [_row([name, *map(shown, cells)]) for name, cells in self.rows]
        below = [*self.settings, *(f"[{number}] {note}" for number, note in enumerate(self.notes, start=1))]
        told = "\n\n".join(_plain(" ".join(line.split())) for line in below)
        return "\n".join([*lines, "", told]) + "\n"

    def latex(self) -> str:
        """The table for LaTeX with booktabs, its settings and footnotes below."""

        def shown(cell: Cell | None) -> str:
            if cell is None:
                return "--"
            marks = ",".join(map(str, cell.notes))
            return cell.text.translate(_LATEX) + (f"\\textsuperscript{{{marks}}}" if marks else "")

        lines = [
            f"\\begin{{tabular}}{{l{'r' * len(self.heads)}}}",
            "\\toprule",
            " & ".join(["system", *(head.translate(_LATEX) for head in self.heads)]) + r" \\",
            "\\midrule",
            *(" & ".join([name.translate(_LATEX), *map(shown, cells)]) + r" \\" for name, cells in self.rows),
            "\\bottomrule",
            "\\end{tabular}",
            "",
            *(f"\\par {setting.translate(_LATEX)}" for setting in self.settings),
        ]
        lines += [
            f"\\par\\textsuperscript{{{number}}} {note.translate(_LATEX)}"
            for number, note in enumerate(self.notes, start=1)
        ]
        return "\n".join(lines) + "\n"


def build_table(
    results: Sequence[Result], measures: Sequence[str] | None = None, *, decimals: int = 2, times: float = 100
) -> Table:
    """A table of results.

    Args:
        results: at most one for each system, benchmark and split; rows and columns come in their order.
        measures: which to show; all that any result has, by default.
        decimals: of our numbers, and at most of published ones.
        times: what the scores are multiplied by.

    Raises:
        InputError: no results, or two numbers for one cell: give their systems other names.
    """
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
    for place, (column, found) in enumerate(columns.items()):
        main = next((result for result in found if not result.published), found[0]).identity.setting()
        settings.append(f"{column.head}: {_told(main)}.")
        for result in found:
            if (result.system, place) in cells:
                raise InputError(
                    f"{result.system!r} has two numbers for {column.head}: name them differently"
                )
            told = result.identity.differences(main)
            if result.published:
                told.append(f"published: {result.source}")
            marks = (notes.setdefault("; ".join(told), len(notes) + 1),) if told else ()
            shown = [
                f"{times * number:.{decimals}f}"
                for number in (result.scores[column.measure], *result.intervals.get(column.measure, ()))
            ]
            if result.published:
                # Never more digits than its source has; 12.5 and 12.50 are one number there.
                shown = [_short(text) for text in shown]
            interval = (shown[1], shown[2]) if len(shown) == 3 else None
            cells[result.system, place] = Cell(shown[0], interval, marks)
    systems = list(dict.fromkeys(result.system for result in results))
    rows = tuple((s, tuple(cells.get((s, place)) for place in range(len(columns)))) for s in systems)
    return Table(tuple(columns), rows, tuple(settings), tuple(notes))


def _told(setting: dict[str, str | int | None]) -> str:
    known = [f"{SETTINGS[name]} {value}" for name, value in setting.items() if value not in ("", None)]
    return ", ".join(known) or "no setting is known"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(_plain(cell).replace("|", "\\|").split()) for cell in cells) + " |"


def _short(number: str) -> str:
    """Without zeros at the end, but for the first behind the point."""
    whole, point, rest = number.partition(".")
    return whole + point + (rest.rstrip("0") or rest[:1])


def _plain(text: str) -> str:
    """Text that Markdown does not take for a tag."""
    return text.replace("<", "&lt;")
