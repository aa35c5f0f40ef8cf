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
    """One number of a table: as text without its marks, and the numbers of its footnotes from 1."""

    text: str
    notes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is ready to be written.

    Attributes:
        heads: of the columns behind the first.
        rows: the systems' names and their cells; None where a system has no number.
        settings: what holds for every column's unmarked numbers.
        notes: the footnotes, the first one is number 1.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    settings: tuple[str, ...]
    notes: tuple[str, ...]

    def markdown(self) -> str:
        """The table in GitHub's Markdown, its settings and footnotes below."""

        def shown(cell: Cell | None) -> str:
            return "–" if cell is None else cell.text + "".join(f" [{note}]" for note in cell.notes)

        lines = [_row(["system", *self.heads]), _row(["---", *["---:"] * len(self.heads)])]
        lines += [_row([name, *map(shown, cells)]) for name, cells in self.rows]
        below = [*self.settings, *(f"[{number}] {note}" for number, note in enumerate(self.notes, start=1))]
        return "\n".join([*lines, "", *("\n\n".join(below).split("\n"))]) + "\n"

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
        decimals: of the numbers.
        times: what the scores are multiplied by.

    Raises:
        InputError: no results, or two numbers for one cell: give their systems other names.
    """
    columns: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        for measure in result.scores:
            if measures is None or measure in measures:
                columns.setdefault((result.identity.benchmark, result.identity.split, measure), []).append(
                    result
                )
    if not columns:
        raise InputError("there are no results to put into a table")
    notes: dict[str, int] = {}
    cells: dict[tuple[str, int], Cell] = {}
    heads, settings = [], []
    for place, ((benchmark, split, measure), found) in enumerate(columns.items()):
        main = next((result for result in found if not result.published), found[0]).identity.setting()
        heads.append(" ".join(filter(None, (benchmark, split, measure))))
        settings.append(f"{heads[-1]}: {_told(main)}.")
        for result in found:
            if (result.system, place) in cells:
                raise InputError(f"{result.system!r} has two numbers for {heads[-1]}: name them differently")
            told = result.identity.differences(main)
            if result.published:
                told.append(f"published: {result.source}")
            marks = (notes.setdefault("; ".join(told), len(notes) + 1),) if told else ()
            text = f"{times * result.scores[measure]:.{decimals}f}"
            if measure in result.intervals:
                low, high = (f"{times * end:.{decimals}f}" for end in result.intervals[measure])
                text += f" ({low} to {high})"
            cells[result.system, place] = Cell(text, marks)
    systems = list(dict.fromkeys(result.system for result in results))
    rows = tuple((s, tuple(cells.get((s, place)) for place in range(len(heads)))) for s in systems)
    return Table(tuple(heads), rows, tuple(settings), tuple(notes))


def _told(setting: dict[str, str | int | None]) -> str:
    known = [f"{SETTINGS[name]} {value}" for name, value in setting.items() if value not in ("", None)]
    return ", ".join(known) or "no setting is known"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
