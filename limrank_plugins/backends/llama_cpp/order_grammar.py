"""A grammar (GBNF, as llama.cpp takes it) under which a model can write nothing but an order.

`[2] > [1] > [3]` names every label once. No grammar of a reasonable size says "once": of 20 labels it would
have a rule for each of a million sets. So there is one for what may follow what is written so far, and it is
made anew after every token.
"""

from __future__ import annotations

from collections.abc import Sequence

from limrank_plugins.backends.protocols import WrittenOrder

_SEPARATOR = " > "
_SPACES = ("", " ", "\n", "\n\n")


def order_in(form: WrittenOrder, text: str) -> str | None:
    """What is written of the order; None where the text has not come to it."""
    if not form.behind:
        return text
    _, found, rest = text.partition(form.behind)
    return rest if found else None


def order_grammar(form: WrittenOrder, written: str = "") -> str | None:
    """The grammar of what may follow `written`; empty where the order is complete, None where it is none.

    Example:
        >>> print(order_grammar(WrittenOrder(("[1]", "[2]")), "[2]"))
        root ::= " > [1]"
    """
    left, begun = _left(form, written)
    if not left and not begun:
        return ""
    starts = _starts(form) if len(left) == len(form.labels) else (_SEPARATOR,)
    entries = [start + label for label in left for start in starts]
    rests = [entry[len(begun) :] for entry in entries if entry.startswith(begun)]
    if not rests:
        return None
    following = f" following{{{len(left) - 1}}}" if len(left) > 1 else ""
    rules = [f"root ::= {_either(rests)}{following}"]
    if following:
        rules.append(f"following ::= {_literal(_SEPARATOR)} {_either(left)}")
    return "\n".join(rules)


def order_characters(form: WrittenOrder) -> frozenset[str]:
    """All that an order may hold."""
    return frozenset("".join([*form.labels, *_starts(form), _SEPARATOR]))


def _starts(form: WrittenOrder) -> tuple[str, ...]:
    """What may stand before the first label."""
    if form.opening:
        return tuple(f"{before}{form.opening}{after}" for before in _SPACES for after in _SPACES[:3])
    return _SPACES if form.behind else _SPACES[:2]


def _left(form: WrittenOrder, written: str) -> tuple[list[str], str]:
    """The labels that are not written yet, and what is written of the next entry."""
    left, starts = list(form.labels), _starts(form)
    while True:
        entry = next(
            (
                (start + label, label)
                for label in left
                for start in starts
                if written.startswith(start + label)
            ),
            None,
        )
        if entry is None:
            return left, written
        written = written[len(entry[0]) :]
        left.remove(entry[1])
        starts = (_SEPARATOR,)


def _either(texts: Sequence[str]) -> str:
    literals = " | ".join(map(_literal, texts))
    return literals if len(texts) == 1 else f"({literals})"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
