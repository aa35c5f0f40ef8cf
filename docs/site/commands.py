"""The page of all commands, out of what `--help` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from limrank_plugins.cli import whole_command

_WIDTH = 100
_HEAD = """# Commands

What `limrank COMMAND --help` prints. Where output goes, exit codes, completion and variables:
[the command line](../command-line.md).
"""


def commands_page() -> str:
    """All commands with the help of each."""
    return "\n".join([_HEAD, *_sections(whole_command(), "limrank", None)])


def _sections(command: Any, name: str, parent: Any) -> Iterator[str]:
    with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
        context.terminal_width = context.max_content_width = _WIDTH
        path = context.command_path
        heading = "#" * (len(path.split()) + 1)
        yield f"{heading} {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
        for below, one in getattr(command, "commands", {}).items():
            yield from _sections(one, below, context)
