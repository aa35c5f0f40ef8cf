"""What the subcommands of `limrank bench` print beside ratios of peers: tables of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from limrank_evals.cli.printing import show_wide
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common

Quick = Annotated[bool, typer.Option("--quick", help="Less work and fewer rounds: for a look.")]
Rounds = Annotated[
    int | None,
    typer.Option(help="How many are timed. Default: 7, with --quick 3.", show_default=False),
]
_ROUNDS, _QUICK_ROUNDS = 7, 3


def rounds_of(quick: bool, rounds: int | None = None) -> int:
    """How many rounds are timed: so many, or as many as there usually are."""
    if rounds is not None:
        whole_number("--rounds", rounds, least=1)
        return rounds
    return _QUICK_ROUNDS if quick else _ROUNDS


def measured(rows: Iterable[Any]) -> list[Any]:
    """The rows, each of which is announced when it is there, or with why it cannot be: some take minutes."""
    done = []
    for row in rows:
        reason = getattr(row, "not_measured", "")
        common.say(f"{row.name} is not measured: {reason}" if reason else f"{row.name}: done")
        done.append(row)
    return done


def emit(subject: str, about: Mapping[str, Any], **parts: Any) -> None:
    """Print JSON: the subject, the machine, and numbers, rows or lists of rows by name."""

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(row) for row in part]
        return asdict(part) if is_dataclass(part) and not isinstance(part, type) else part

    common.emit({"bench": subject, **about, **{name: plain(part) for name, part in parts.items()}})


def show(heads: Sequence[str], rows: Iterable[Sequence[str]], about: Mapping[str, Any], note: str) -> None:
    """Print a table, names at the left and numbers at the right, and below it what they are.

    Args:
        heads: of the columns.
        rows: their cells.
        about: the machine.
        note: what the numbers are.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(heads[0], no_wrap=True)
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    show_wide(table)
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in about["versions"].items())
    common.say(f"{note}; {about['processor']}; {versions}")
