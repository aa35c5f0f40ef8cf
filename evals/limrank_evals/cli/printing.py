"""Tables of numbers on the terminal."""

from __future__ import annotations

from rich.measure import Measurement
from rich.table import Table

from limrank_evals.comparison import Comparison
from limrank_evals.tables import Grid, ends_text, value_text
from limrank_plugins.cli import common


def show_grid(grid: Grid, console: common.Terminal | None = None) -> None:
    """Print a table as wide as its cells: a narrower one would lose its numbers."""
    table = Table(box=None, padding=(0, 1))
    for head in grid.heads:
        table.add_column(head, no_wrap=True)
    for row in grid.texts():
        table.add_row(*row)
    show_wide(table, console)


def show_wide(table: Table, console: common.Terminal | None = None) -> None:
    """Print a table as wide as its cells, none of which may be wrapped."""
    console = common.Terminal() if console is None else console
    least = Measurement.get(console, console.options.update(width=10_000), table).maximum
    console.width = max(console.width, least)
    console.print(table)


def difference_cells(comparison: Comparison) -> list[str]:
    """How sure a difference is: its interval, the randomisation test's p, queries won, tied and lost."""
    return [
        ends_text(comparison.interval, signed=True),
        value_text(comparison.randomisation_p),
        "/".join(map(str, comparison.record)),
    ]
