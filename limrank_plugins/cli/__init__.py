"""The one console script, `limrank`. Its subcommands come from the entry-point group `limrank.commands`.

Each room brings its own: an entry is a function `register(app: typer.Typer) -> None`.
What a person or a program asked for goes to stdout, everything else to stderr.
Exit codes: 0 done, 1 it failed, 2 the input was wrong.
"""

from __future__ import annotations

import errno
import functools
import io
import itertools
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import typer
import typer.core

from limrank_plugins.cli.later import loaded
from limrank_plugins.cli.terminal import guard, say, tell
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.outputs import NO_ROOM
from limrank_plugins.secrecy import redacted, secrets_in

P = ParamSpec("P")
R = TypeVar("R")

_PATHS = ("-o", "--output", "--store", "-q", "--queries", "-c", "--corpus", "--run", "--qrels", "--jobs")
_OK, _FAILED, _BAD_INPUT = 0, 1, 2


class Commands(typer.core.TyperGroup):
    """All commands. What is wrong with a command line is told as everything else is, and without keys."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that the words name, and end the process unless told otherwise."""
        run = functools.partial(
            super().main, args, prog_name, complete_var, False, windows_expand_args, **extra
        )
        if not standalone_mode:
            return run()
        try:
            _refuse_empty(sys.argv[1:] if args is None else args)
            code = run()
        except typer.Abort:
            say("limrank: interrupted")
            code = _FAILED
        except InputError as error:
            say(f"limrank: {error}")
            code = _BAD_INPUT
        except Exception as error:
            # Usage errors, which repeat words of the command line; their class is click's or typer's copy.
            show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
            if show is None or code is None:
                raise
            shown = io.StringIO()
            show(shown)
            say(_hidden(shown.getvalue().rstrip("\n"), args))
        sys.exit(code if isinstance(code, int) else _OK)


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the package's own errors into one line on stderr and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            for name, value in kwargs.items():
                kwargs[name] = _with_home(value)
            return command(*args, **kwargs)
        except LimRankError as error:
            message = str(error)
            code = _BAD_INPUT if isinstance(error, InputError) else _FAILED
        except BrokenPipeError:
            # The reader (head, less) has gone: not an error, and not worth a second one at exit.
            sys.stdout = None
            raise typer.Exit(_OK) from None
        except OSError as error:
            message, code = _of_system(error), _FAILED
        except KeyboardInterrupt:
            message, code = "interrupted; what was finished is kept", 130
        say(f"limrank: {_hidden(message)}")
        raise typer.Exit(code)

    return wrapped


def build_app() -> typer.Typer:
    """The command line with every room's subcommands."""
    app = typer.Typer(
        name="limrank",
        cls=Commands,
        help="Rerank passages with LIMRANK and its rivals.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    def print_version(wanted: bool) -> None:
        if wanted:
            from limrank_plugins import __version__

            tell(__version__)
            raise typer.Exit(_OK)

    @app.callback()
    def options(
        version: bool = typer.Option(
            False, "--version", help="Print the version.", callback=print_version, is_eager=True
        ),
    ) -> None:
        """Options of limrank itself; `version` acts by its callback."""

    for entry in sorted(entry_points(group="limrank.commands"), key=lambda e: (e.name != "core", e.name)):
        entry.load()(app)
    return app


def whole_command() -> Any:
    """The command line with every command imported: what there is to be listed, described and checked."""
    return loaded(typer.main.get_command(build_app()))


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        # Passages hold anything; a terminal that cannot show a character must not end the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Commands say themselves what failed; the library's warnings would be said twice.
    logging.getLogger("limrank_plugins").addHandler(logging.NullHandler())
    guard()
    build_app()()


def _of_system(error: OSError) -> str:
    """What the operating system refused; of a full disk, what was written and what to do."""
    if error.errno not in NO_ROOM:
        return str(error)
    what = error.filename or "what was being written (an output, a store or a pipe)"
    advice = (
        "lift the limit on the size of a file (ulimit -f), or choose another disk"
        if error.errno == errno.EFBIG
        else "make room on its disk, or choose another"
    )
    return f"{what} cannot be written: {error.strerror}; {advice}, then give the same command again"


def _hidden(message: str, words: Sequence[str] | None = None) -> str:
    """The message without the keys that stand on the command line, rightly or mistyped."""
    secrets = secrets_in(sys.argv[1:] if words is None else words)
    return redacted(message, secrets | {repr(secret)[1:-1] for secret in secrets})


def _with_home(value: Any) -> Any:
    """A path with the home folder for its `~`: shells leave that of `--output=~/x` as it is."""
    if isinstance(value, list):
        return [_with_home(item) for item in value]
    with suppress(RuntimeError):  # nobody of that name: a file may be called so
        return value.expanduser() if isinstance(value, Path) else value
    return value


def _refuse_empty(words: Sequence[str]) -> None:
    """An empty path would be the current folder; it comes of a shell's variable that is not set."""
    for option, value in itertools.pairwise([*words, "-"]):
        name, equals, rest = option.partition("=")
        if name in _PATHS and not (rest if equals else value):
            raise InputError(f"{name} is empty: name a file or a folder")
