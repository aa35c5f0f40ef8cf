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
from limrank_evals.reporting.text_policy import clean
from limrank_plugins.wording import number_of

_NUMBER = re.compile(r"\d[\d.,]*")
# What a number changes in the words beside it.
_ONE_OR_MORE = re.compile(r"\b(is|are|was|were|has|have)\b|(ies|y|s)\b")
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
    first = dict.fromkeys(split.results[0].system for split in evaluated if split.results)
    reranked = [split for split in evaluated if split.reranked and split.results]
    second = dict.fromkeys(main_result(split).system for split in reranked)
    return tuple(clean(", ".join(names)) for names in (first, second))  # type: ignore[return-value]


def main_result(split: SplitEvaluation) -> Result:
    """The reranker's result, or the first stage's where nothing was reranked."""
    others = [r for r in split.results if r.system != split.results[0].system]
    return others[0] if others else split.results[0]


def settings(evaluated: Sequence[SplitEvaluation]) -> tuple[list[tuple[str, str]], SettingsTable]:
    """The settings that all splits share, and those that differ; what nobody knows is left out."""
    rows = [(named(split), _setting(split)) for split in evaluated]
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
    splits_of: dict[str, list[str]] = {}
    for split in evaluated:
        for text in dict.fromkeys(split.warnings):
            splits_of.setdefault(clean(text), []).append(named(split))
    return [
        (where, text)
        for text, names in splits_of.items()
        for where in ([""] if len(names) == len(evaluated) else names)
    ]


def alike(warned: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The warnings, those together that say the same with other numbers."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for where, text in warned:
        groups.setdefault(_ONE_OR_MORE.sub("", _NUMBER.sub("#", text)), []).append((where, text))
    return list(groups.values())


def key_figures(evaluated: Sequence[SplitEvaluation]) -> list[dict[str, Any]]:
    """What reranking changed in every benchmark's main measure, ready to be printed."""
    figures = []
    for benchmark in dict.fromkeys(split.benchmark.name for split in evaluated):
        parts = [split for split in evaluated if split.benchmark.name == benchmark]
        measure = parts[0].measures[0]
        changed = gain(parts, measure)
        if changed is None:
            continue
        figures.append(
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
                "failures": f"{sum(split.failures for split in parts):,}"
                if any(split.failures for split in parts)
                else 0,
            }
        )
    return figures


def compared(split: SplitEvaluation) -> list[dict[str, Any]]:
    """A split's comparisons, ready to be printed."""
    return [
        {
            "measure": clean(measure),
            "first": f"{c.first * 100:.2f}",
            "second": f"{c.second * 100:.2f}",
            "difference": f"{c.difference * 100:+.2f}".replace("-", "−"),
            "kind": kind_of(c.difference),
            "sure": kind_apart(c.difference, c.interval) != "same",
            "interval": "–" if c.interval is None else " to ".join(map(signed, c.interval)),
            "randomisation": p_value(c.randomisation_p),
            "t": p_value(c.t_p),
            "record": c.record,
            "left_out": len(c.left_out),
        }
        for measure in split.measures
        for c in [split.comparisons.get(measure)]
        if c is not None
    ]


def p_value(p: float | None) -> str:
    """A p-value as papers print it."""
    return "–" if p is None else "< .0001" if p < 1e-4 else f"{p:.4f}".removeprefix("0")


def about(split: SplitEvaluation) -> str:
    """A split's counts in a line."""
    coverage = split.last.measured.coverage
    kinds = {
        "without results": coverage.without_results,
        "without a relevant document": coverage.without_relevant,
    }
    words = [number_of(len(coverage.judged), "judged query")]
    words += [f"{len(queries):,} {what}" for what, queries in kinds.items() if queries]
    words += [number_of(split.failures, "failure")] if split.failures else []
    return " · ".join(words)


def _setting(split: SplitEvaluation) -> dict[str, str]:
    identity = main_result(split).identity if split.results else None
    known = {
        label: clean(str(value))
        for name, label in _NAMES.items()
        for value in [getattr(identity, name, None)]
        if value not in ("", None)
    }
    if len({result.identity.averaging for result in split.results}) > 1:
        known.pop(SETTINGS["averaging"], None)  # several: the tables say which number is whose
    known.setdefault(SETTINGS["qrels"], clean(split.benchmark.variant))
    return {"benchmark": clean(split.benchmark.name), **known, "licence": clean(split.benchmark.licence)}


def _shares(won: int, tied: int, lost: int) -> Markup:
    total, left = max(1, won + tied + lost), 0.0
    parts = []
    for count, kind in ((won, "up"), (tied, "same"), (lost, "down")):
        parts.append(tag("rect", x=left, y=0, width=100 * count / total, height=4, class_=kind))
        left += 100 * count / total
    return Markup("").join(parts)
