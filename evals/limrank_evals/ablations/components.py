"""What can be taken out of a training set, by the metadata that `limrank synth` writes with its rows.

| component | what goes |
| --- | --- |
| `daily-life`, `expert` | rows of queries of that kind (guideline: alignment with real-world use) |
| `domains` | of each kind, all domains but the one with most rows (guideline: domain diversity) |
| `difficulties` | all difficulties but the one with most rows (guideline: difficulty diversity) |
| `indirect` | passages that bear on the query without answering it |
| `traces` | no row: the verdict is learned without the reasoning before it |
| `column=value` | rows with that value in a column, `*` standing for anything: `intent=negative:*` |

Rows without a value in the column (Rank1-style ones have none of these) are never taken out. To leave a
guideline out of the synthesis itself, synthesise with other guidelines and name the rows as another pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from limrank_evals.ablations.pools import COLUMNS, TrainingRow
from limrank_plugins.errors import InputError

TRACES = "traces"
_PATTERNS = {"daily-life": "kind=daily-life", "expert": "kind=expert", "indirect": "intent=indirect:*"}
_MOST = {"domains": ("kind", "domain"), "difficulties": ("difficulty",)}

Keeps = Callable[[TrainingRow], bool]


def check_component(component: str) -> None:
    """Raise an `InputError` for a component that there is not."""
    if component in (TRACES, *_PATTERNS, *_MOST):
        return
    column, equals, _ = component.partition("=")
    if not equals or column not in COLUMNS:
        raise InputError(
            f"there is no component {component!r}; there are: {', '.join((*_PATTERNS, *_MOST, TRACES))}, and "
            f"column=value with one of the columns {', '.join(COLUMNS)}"
        )


def plan_changes(components: Iterable[str]) -> dict[str, Any]:
    """What a plan must be told where these components are out."""
    return {"reasoning": False} if TRACES in components else {}


def keeping(component: str, rows: Iterable[TrainingRow]) -> Keeps:
    """Which rows stay where a component is out.

    Args:
        component: see above; `traces` keeps all.
        rows: all rows of all pools: what has most rows is counted over them, so that it does not
            depend on a draw.

    Raises:
        InputError: there is no such component, or it would take nothing out.
    """
    check_component(component)
    if component == TRACES:
        return lambda row: True
    known = list(rows)
    if component in _MOST:
        keeps = _largest(_MOST[component], known)
    else:
        column, _, value = _PATTERNS.get(component, component).partition("=")

        def keeps(row: TrainingRow) -> bool:
            held: str = getattr(row, column)
            return not held or not fnmatchcase(held, value)

    if all(keeps(row) for row in known):
        raise InputError(
            f"without {component!r} nothing would be taken out: no row of the data has it. `limrank synth` "
            f"writes the columns {', '.join(COLUMNS)}; other files may lack them"
        )
    return keeps


def _largest(columns: tuple[str, ...], rows: Iterable[TrainingRow]) -> Keeps:
    """Only the most frequent value of the last column, apart for each value of those before it."""
    *outer, last = columns
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        if value := getattr(row, last):
            counts.setdefault(_values(row, outer), Counter())[value] += 1
    kept = {group: min(count, key=lambda v: (-count[v], v)) for group, count in counts.items()}

    def keeps(row: TrainingRow) -> bool:
        value = getattr(row, last)
        return not value or kept[_values(row, outer)] == value

    return keeps


def _values(row: TrainingRow, columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(getattr(row, column) for column in columns)
