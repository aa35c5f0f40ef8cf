"""What the page says outside its tables and plots: systems, settings, key figures, warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import SETTINGS, Result
from limrank_evals.reporting.averages import gain
from limrank_evals.reporting.interval_plot import signed
from limrank_evals.reporting.payload import named
from limrank_evals.reporting.plots import kind_apart, kind_of
from limrank_evals.reporting.svg import tag
from limrank_evals.reporting.texts import clean

_NUMBER = re.compile(r"\d[\d.,]*")
_NAMES = {
    **SETTINGS,
    "recipe": "recipe",
    "model": "model",
    "backend": "backend",
    "version": "limrank version",
}


class SettingsTable(NamedTuple):
    """Settings that are not the same for all splits: their names, and every split's values."""

    heads: list[str]
    rows: list[tuple[str, list[str]]]


def systems(evaluated: Sequence[SplitEvaluation]) -> tuple[str, str]:
    """What the first stage and the reranker are called; several of one kind are listed; "" for none."""
    first = dict.fromkeys(one.results[0].system for one in evaluated if one.results)
    second = dict.fromkeys(main_result(one).system for one in evaluated if one.reranked and one.results)
    return tuple(clean(", ".join(names)) for names in (first, second))  # type: ignore[return-value]


def main_result(one: SplitEvaluation) -> Result:
    """The reranker's result, or the first stage's where nothing was reranked."""
    others = [r for r in one.results if r.system != one.results[0].system]
    return others[0] if others else one.results[0]


def settings(evaluated: Sequence[SplitEvaluation]) -> tuple[list[tuple[str, str]], SettingsTable]:
    """The settings that all splits share, and those that differ; what nobody knows is left out."""
    rows = [(named(one), _setting(one)) for one in evaluated]
    names = [
        name for name in dict.fromkeys(n for _, row in rows for n in row) if any(r.get(name) for _, r in rows)
    ]
    same = [name for name in names if len({row.get(name) for _, row in rows}) == 1]
    differ = [name for name in names if name not in same]
    return (
        [(name, rows[0][1][name]) for name in same],
        SettingsTable(
            differ,
            [(where, [row.get(name) or "–" for name in differ]) for where, row in rows] if differ else [],
        ),
    )


def warnings(evaluated: Sequence[SplitEvaluation]) -> list[tuple[str, str]]:
    """Every warning with its split; "" where all splits have it."""
    told: dict[str, list[str]] = {}
    for one in evaluated:
        for text in dict.fromkeys(one.warnings):
            told.setdefault(clean(text), []).append(named(one))
    return [
        (where, text)
        for text, splits in told.items()
        for where in ([""] if len(splits) == len(evaluated) else splits)
    ]


def alike(told: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The warnings, those together that say the same with other numbers."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for where, text in told:
        groups.setdefault(_NUMBER.sub("#", text), []).append((where, text))
    return list(groups.values())


def key_figures(evaluated: Sequence[SplitEvaluation]) -> list[dict[str, Any]]:
    """What reranking changed in every benchmark's main measure, ready to be printed."""
    found = []
    for benchmark in dict.fromkeys(one.benchmark.name for one in evaluated):
        parts = [one for one in evaluated if one.benchmark.name == benchmark]
        measure = parts[0].measures[0]
        changed = gain(parts, measure)
        if changed is None:
            continue
        found.append(
            {
                "benchmark": clean(benchmark),
                "measure": clean(measure),
                "splits": changed.splits,
                "first": f"{changed.first * 100:.1f}",
                "second": f"{changed.second * 100:.1f}",
                "difference": signed(changed.difference),
                "kind": kind_of(changed.difference),
                "interval": changed.interval and " to ".join(map(signed, changed.interval)),
                "record": changed.record,
                "bar": _shares(*changed.record),
                "failures": f"{sum(one.failures for one in parts):,}"
                if any(o.failures for o in parts)
                else 0,
            }
        )
    return found


def compared(one: SplitEvaluation) -> list[dict[str, Any]]:
    """A split's comparisons, ready to be printed."""
    return [
        {
            "measure": clean(measure),
            "first": f"{found.first * 100:.2f}",
            "second": f"{found.second * 100:.2f}",
            "difference": f"{found.difference * 100:+.2f}".replace("-", "−"),
            "kind": kind_of(found.difference),
            "sure": kind_apart(found.difference, found.interval) != "same",
            "interval": "–" if found.interval is None else " to ".join(map(signed, found.interval)),
            "randomisation": p_value(found.randomisation_p),
            "t": p_value(found.t_p),
            "record": found.record,
            "left_out": len(found.left_out),
        }
        for measure in one.measures
        for found in [one.comparisons.get(measure)]
        if found is not None
    ]


def p_value(p: float | None) -> str:
    """A p-value as papers print it."""
    return "–" if p is None else "< .0001" if p < 1e-4 else f"{p:.4f}".removeprefix("0")


def about(one: SplitEvaluation) -> str:
    """A split's counts in a line."""
    coverage = one.last.measured.coverage
    kinds = {
        "without results": coverage.without_results,
        "without a relevant document": coverage.without_relevant,
    }
    told = [f"{len(coverage.judged):,} judged queries"]
    told += [f"{len(found):,} {what}" for what, found in kinds.items() if found]
    told += [f"{one.failures:,} failures"] if one.failures else []
    return " · ".join(told)


def _setting(one: SplitEvaluation) -> dict[str, str]:
    identity = main_result(one).identity if one.results else None
    known = {
        told: clean(str(value))
        for name, told in _NAMES.items()
        for value in [getattr(identity, name, None)]
        if value not in ("", None)
    }
    if len({result.identity.averaging for result in one.results}) > 1:
        known.pop(SETTINGS["averaging"], None)  # several: the tables say which number is whose
    known.setdefault(SETTINGS["qrels"], clean(one.benchmark.variant))
    return {"benchmark": clean(one.benchmark.name), **known, "licence": clean(one.benchmark.licence)}


def _shares(won: int, tied: int, lost: int) -> Markup:
    total, left = max(1, won + tied + lost), 0.0
    parts = []
    for count, kind in ((won, "up"), (tied, "same"), (lost, "down")):
        parts.append(tag("rect", x=left, y=0, width=100 * count / total, height=4, class_=kind))
        left += 100 * count / total
    return Markup("").join(parts)
