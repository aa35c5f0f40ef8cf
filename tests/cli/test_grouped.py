"""Options of a dataclass as options of a command."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from limrank_plugins.cli.grouped import grouped


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(help="In metres.")] = 2
    names: Annotated[list[str] | None, typer.Option("--name")] = None


def test_the_fields_stand_where_the_parameter_stood():
    @grouped
    def command(
        colour: Annotated[str, typer.Argument()],
        size: Size = Size(),
        *,
        heavy: Annotated[bool, typer.Option("--heavy")] = False,
    ) -> None:
        typer.echo(f"{colour} {size.width} {size.names} {heavy}")

    assert list(inspect.signature(command).parameters) == ["colour", "width", "names", "heavy"]
    app = typer.Typer()
    app.command()(command)
    run = CliRunner().invoke(app, ["red", "--width", "3", "--name", "a", "--name", "b", "--heavy"])
    assert run.output == "red 3 ['a', 'b'] True\n"
    assert CliRunner().invoke(app, ["red"]).output == "red 2 None False\n"


def test_no_option_stands_twice():
    def command(width: int, size: Size) -> None: ...

    with pytest.raises(TypeError, match="twice"):
        grouped(command)
