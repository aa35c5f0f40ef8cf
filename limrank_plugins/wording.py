"""Numbers of things in messages: one of a thing is never "1 things"."""

from __future__ import annotations


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


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("ch", "sh", "s", "x")) else f"{noun}s"
