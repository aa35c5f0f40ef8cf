"""What the command line prints. Texts of passages, models, servers and files reach a terminal as text only.

Every room prints through this module, so that nothing it did not write itself can move the cursor, set
the title, make a link or be read as Rich's markup.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from types import TracebackType
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from limrank_plugins.errors import LimRankWarning

_SHOWN = "\n\t"
_JOINERS = "\u200c\u200d"  # written inside words in Persian, Hindi and emoji
_NOT_IN_JSON = re.compile(r"[^\x00-\x7e\u200c\u200d]")


def plain(text: str, keep: str = _SHOWN) -> str:
    """The text with `·` for every character that a terminal could act on.

    These are control characters (also the second set, U+0080 to U+009F), lone surrogates and characters
    that turn the direction of writing; spaces of any width and the joiners of scripts stay.

    Args:
        text: whatever it holds.
        keep: characters that stay although they are among those.
    """
    return "".join(c if _is_harmless(c) or c in keep else "·" for c in text)


def escaped_json(text: str) -> str:
    """JSON whose characters that a terminal could act on are written as escapes; it means the same."""
    return _NOT_IN_JSON.sub(lambda match: _escape(match[0]), text)


class Terminal(Console):
    """Rich's console, to which a string is text: no markup, no highlighting, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"highlight": False, "markup": False, "emoji": False} | options))

    def render_str(self, text: str, **options: Any) -> Text:
        """The string as it is shown; cells and headings of tables come through here too."""
        return super().render_str(plain(text), **options)


def say(message: str, *, style: str | None = None) -> None:
    """Lines on stderr, in one of Rich's styles on a terminal."""
    Terminal(stderr=True, soft_wrap=True).print(message, style=style)


def tell(text: object, *, end: str = "\n") -> None:
    """Text on stdout, as wide as it is."""
    typer.echo(plain(str(text)) + end, nl=False)


def tell_exactly(text: str) -> None:
    """Text on stdout to the byte where a file or a program reads it; on a terminal as `tell` does."""
    if sys.stdout.isatty():
        tell(text, end="" if text.endswith("\n") else "\n")
    else:
        typer.echo(text, nl=False)


def guard() -> None:
    """Have warnings, log lines without a handler and tracebacks printed as `say` prints, ours as notes.

    What libraries warn programs of is not for users of a command; PYTHONWARNINGS=default shows it.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore", FutureWarning)
    warnings.showwarning = _show_warning
    sys.excepthook = _show_traceback
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainFormatter())


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, LimRankWarning) and file is None:
        say(f"note: {message}")
        return
    text = plain(warnings.formatwarning(message, category, filename, lineno, line))
    (file or sys.stderr).write(text)


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(plain("".join(traceback.format_exception(kind, error, trace))))


def _is_harmless(character: str) -> bool:
    is_space = character.isspace() and character not in _LINES
    return character.isprintable() or is_space or character in _JOINERS


_LINES = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def _escape(character: str) -> str:
    if _is_harmless(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
