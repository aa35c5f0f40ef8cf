"""Numbers of things, money and texts of any length, as messages write them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def number_of(number: int, noun: str, plural: str | None = None) -> str:
    """A number and what it is of.

    Args:
        number: how many.
        noun: one of them; adjectives may stand before it.
        plural: more of them; default: an s behind the noun, "ies" for its consonant and "y".

    Example:
        >>> number_of(1, "model call"), number_of(2, "query"), number_of(12000, "reply"), number_of(0, "day")
        ('1 model call', '2 queries', '12,000 replies', '0 days')
    """
    return f"{number:,} {noun if number == 1 else plural or _plural(noun)}"


_OF_ONE = {"are": "is", "were": "was", "have": "has", "do": "does"}


def verb_for(number: int, verb: str) -> str:
    """A verb as it goes with so many things; `verb` is that of several.

    Example:
        >>> verb_for(2, "are"), verb_for(1, "are"), verb_for(1, "share")
        ('are', 'is', 'shares')
    """
    return verb if number != 1 else _OF_ONE.get(verb, f"{verb}s")


def in_dollars(amount: float) -> str:
    """Money: cents from a dollar on, down to a hundredth of a cent below one.

    Example:
        >>> in_dollars(1234.5678), in_dollars(0.04577899999999999), in_dollars(0.00001), in_dollars(0.0)
        ('$1,234.57', '$0.0458', 'less than $0.0001', '$0.00')
    """
    if 0 < amount < 1e-4:
        return "less than $0.0001"
    return f"${amount:,.2f}" if amount == 0 or abs(amount) >= 1 else f"${amount:.4f}"


def shortened(text: str, most: int = 100) -> str:
    """A text of anybody's on the terminal: one line, so many characters at most, "…" for the rest.

    Files, JSON and runs hold all of it.
    """
    line = " ".join(text[: 10 * most].split())
    return line if len(text) <= most else f"{line[: most - 1]}…"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question that names those that a wrong name may stand for; "" where none is like it."""
    near = get_close_matches(name.lower(), list(names), n=2)
    return f"did you mean {' or '.join(near)}?" if near else ""


def exact_dollars(amount: float) -> float:
    """Money as a number for machines, without the noise that adding up leaves in its last digits."""
    return round(amount, 10)


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("ch", "sh", "s", "x")) else f"{noun}s"
