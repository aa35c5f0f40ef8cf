"""Commands that are imported when they are given: to list them, their names and summaries are enough."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
import typer.core

_HELD = "a group to hold the one command"


class LaterCommand(typer.core.TyperCommand):
    """A command's name and summary. Whatever else is asked of it is asked of the command itself."""

    source = ""

    def load(self) -> Any:
        """The command itself, or the group of commands."""
        module, _, attribute = self.source.partition(":")
        command = getattr(import_module(module), attribute)
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        app.callback(help=_HELD)(_nothing)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=self.name)
        else:
            app.command(self.name)(command)
        group: Any = typer.main.get_command(app)
        return group.commands[self.name]

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself, which then is what is run."""
        return self.load().make_context(info_name, args, parent=parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command itself: where this is the only one of a program, the context is made and run."""
        return ctx.command.invoke(ctx)


def add_later(app: typer.Typer, name: str, source: str, summary: str) -> None:
    """Add a command, or a group of them, that is imported when it is given.

    Args:
        app: what gets it.
        name: its name on the command line.
        source: the function, or the `typer.Typer` of a group, as `module:name`.
        summary: the first line of its help, which the list of commands shows.
    """
    kind = type("LaterCommand", (LaterCommand,), {"source": source})
    app.command(name, cls=kind, help=summary)(_nothing)


def loaded(command: Any) -> Any:
    """A command or a group of them with everything imported that is below it."""
    if isinstance(command, LaterCommand):
        command = command.load()
    below = getattr(command, "commands", None)
    if below is not None:
        command.commands = {name: loaded(one) for name, one in below.items()}
    return command


def _nothing() -> None:
    """What is never run."""
