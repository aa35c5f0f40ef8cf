"""The error analysis for people: one table for each question, then the worst cases by their ids."""

from __future__ import annotations

from typing import Any

from rich.measure import Measurement
from rich.table import Table

from limrank_evals.errors import Analysis
from limrank_plugins.cli import common

_BUDGET = {
    "ideal": "ideal: all judged documents by grade",
    "lost_by_finding": "lost by the first stage: not among the candidates",
    "ceiling": "ceiling: the candidates by grade",
    "lost_by_ordering": "lost by ordering",
    "lost_by_ties": "… of which by the order of equal scores",
    "achieved": "achieved",
    "first_stage": "first stage",
    "gained_over_first_stage": "gained over the first stage",
}


def show(found: Analysis, worst: int) -> None:
    """Print it."""
    told = found.as_json(worst)
    console = common.Terminal()
    _budget(console, told)
    _failing(console, told)
    _few(console, told)
    if told["confusion"] is not None:
        _confusion(console, told["confusion"])
    if told["false_claims"] is not None and told["false_claims"]["queries"]:
        _false_claims(console, told["false_claims"], told["top"])
    _marks(console, told)
    if told["against"] is not None:
        _against(console, told["against"], told["measure"])


def _budget(console: common.Terminal, told: dict[str, Any]) -> None:
    table = _table("error budget", told["measure"], "interval")
    for name, words in _BUDGET.items():
        if name in told["budget"]:
            table.add_row(words, *_mean(told["budget"][name], signed=name.startswith("gained")))
    _print(console, table)
    for case in told["budget"]["cases"]:
        best = case["best_relevant_rank"]
        line = f"{case['achieved']:.4f} of {case['ceiling']:.4f}  {case['query']}"
        there = f"the best at {best}" if best else "none of them ranked"
        note = f"{case['relevant']} relevant, {there}"
        console.print(f"misordered  {line}  ({note})", soft_wrap=True)
    console.print()


def _failing(console: common.Terminal, told: dict[str, Any]) -> None:
    one = told["failing"]
    table = _table(f"no relevant document in the first {one['top']}", "queries", "of these", "interval")
    for name, words in (
        ("not_found", "none among the candidates"),
        ("buried", "ranked too low"),
        ("without_results", "nothing ranked"),
    ):
        share = one["of_failures"][name]
        table.add_row(words, str(one[name]), _number(share["share"]), _interval(share["interval"]))
    _print(console, table)
    dropped = one["dropped"]
    more = "" if dropped is None else f"; {dropped} of those ranked too low were at the first stage's top"
    console.print(f"{one['answered']} of {one['queries']} queries are answered{more}", style="dim")
    for case in one["cases"]["buried"]:
        place = "not ranked" if case["rank"] is None else f"at {case['rank']}"
        before = "" if case["first_rank"] is None else f", first stage at {case['first_rank']}"
        console.print(f"buried  {case['query']}  {case['document']} {place}{before}", soft_wrap=True)
    for outcome, words in (("not_found", "not found"), ("without_results", "nothing ranked")):
        if one["cases"][outcome]:
            console.print(f"{words}  {'  '.join(one['cases'][outcome])}", soft_wrap=True)
    console.print()


def _few(console: common.Terminal, told: dict[str, Any]) -> None:
    one = told["by_relevant"]
    heads = ("queries", told["measure"], "interval", "first stage", "difference", "p", "ceiling")
    table = _table("relevant", *heads, "not found", "too low")
    for row in one["bins"]:
        beside = row["against_first_stage"]
        table.add_row(
            row["relevant"],
            str(row["queries"]),
            *_mean(row["achieved"]),
            _mean(row["first_stage"])[0],
            "–" if beside is None else f"{beside['difference']:+.4f}",
            "–" if beside is None else _number(beside["p"]["randomisation"]),
            _mean(row["ceiling"])[0],
            str(row["not_found"]),
            str(row["buried"]),
        )
    _print(console, table)
    for name, trend in one["trend"].items():
        words = name.replace("_", " ")
        value = "–" if trend is None else f"rho {trend['rho']:+.3f}, p {trend['p']:.4f}"
        console.print(f"{words} with the number of relevant documents: {value}", style="dim")
    console.print()


def _confusion(console: common.Terminal, one: dict[str, Any]) -> None:
    for title, name in (("confusion", "sorts"), ("negatives", "negatives"), ("kinds", "matrix")):
        rows = one[name]
        if not rows or (name == "matrix" and len(rows) <= len(one["sorts"])):
            continue
        heads = ("better", "queries", "pairs", "confused", "interval", "equal", "gap", "first")
        table = _table(f"{title}: worse", *heads)
        for row in rows:
            table.add_row(
                row["worse"],
                row["better"],
                str(row["queries"]),
                str(row["pairs"]),
                *_mean(row["rate"]),
                "–" if row["tied"] is None else str(row["tied"]),
                _mean(row["gap"], signed=True)[0],
                str(row["worse_is_first"]["queries"]),
            )
        _print(console, table)
    for case in one["cases"]:
        sides = [
            f"{side['document']} ({side['kind']}) at {side['rank']}" + _score(side["score"])
            for side in (case["worse"], case["better"])
        ]
        console.print(f"confused  {case['query']}  {' above '.join(sides)}", soft_wrap=True)
    console.print()


def _false_claims(console: common.Terminal, one: dict[str, Any], top: int) -> None:
    table = _table("false claims", "queries", "of", "interval")
    for name, words in (
        ("at_top", f"in the first {top}"),
        ("first", "in the first place"),
        ("above_relevant", f"in the first {top}, above all relevant"),
    ):
        row = one["of_queries"][name]
        table.add_row(words, str(row["queries"]), str(one["queries"]), _interval(row["interval"]))
    _print(console, table)
    for case in one["cases"]:
        line = f"false claim  {case['query']}  {case['document']} at {case['rank']}{_score(case['score'])}"
        console.print(line, soft_wrap=True)
    console.print()


def _marks(console: common.Terminal, told: dict[str, Any]) -> None:
    if (one := told["ties"]) is not None:
        console.print(
            f"{one['tied']} of {one['scored']} scores are shared; {one['relevant_below']} relevant documents "
            f"stand below another one of equal score ({one['queries_below']} queries)",
            soft_wrap=True,
        )
        if (ends := one["saturated"]) is not None:
            console.print(
                f"{ends['relevant_low']} relevant documents have a probability next to 0, "
                f"{ends['others_high']} others one next to 1",
                soft_wrap=True,
            )
        for case in one["cases"]:
            line = f"{case['query']}  {case['document']} at {case['rank']} below {case['below']} at"
            console.print(f"tied  {line} {case['below_rank']}{_score(case['score'])}", soft_wrap=True)
    if (one := told["mishaps"]) is not None:
        failures, cut = one["failures"], one["cut"]
        console.print(
            f"{failures['documents']} documents failed ({failures['relevant']} relevant); "
            f"{cut['documents']} were not read whole ({cut['relevant']} relevant, "
            f"{cut['relevant_below_top']} of them below the top)",
            soft_wrap=True,
        )
        for case in failures["cases"]:
            console.print(f"failed  {case['query']}  {case['document']}: {case['reason']}", soft_wrap=True)


def _against(console: common.Terminal, one: dict[str, Any], measure: str) -> None:
    console.print()
    table = _table("against the other run", "other", "this", "difference", "interval", "p", "less/as/more")
    beside = one["measure"]
    record = beside["queries"]
    table.add_row(
        measure,
        f"{beside['first']:.4f}",
        f"{beside['second']:.4f}",
        f"{beside['difference']:+.4f}",
        _interval(beside["interval"], signed=True),
        _number(beside["p"]["randomisation"]),
        f"{record['lost']}/{record['tied']}/{record['won']}",
    )
    for row in one["confusion"]:
        record = row["queries"]
        table.add_row(
            f"{row['worse']} above {row['better']}",
            f"{row['first']:.4f}",
            f"{row['second']:.4f}",
            f"{row['difference']:+.4f}",
            _interval(row["interval"], signed=True),
            _number(row["p"]["randomisation"]),
            f"{record['less_confused']}/{record['as_confused']}/{record['more_confused']}",
        )
    _print(console, table)


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 1))
    for head in heads:
        table.add_column(head, no_wrap=True)
    return table


def _print(console: common.Terminal, table: Table) -> None:
    # A table narrower than its cells would lose its numbers, and kinds have long names.
    console.width = max(
        console.width, Measurement.get(console, console.options.update(width=10_000), table).maximum
    )
    console.print(table)


def _mean(value: dict[str, Any] | None, *, signed: bool = False) -> tuple[str, str]:
    if value is None:
        return "–", "–"
    number = f"{value['mean']:+.4f}" if signed else f"{value['mean']:.4f}"
    return number, _interval(value["interval"], signed=signed)


def _interval(ends: list[float] | None, *, signed: bool = False) -> str:
    if ends is None:
        return "–"
    return " … ".join(f"{end:+.4f}" if signed else f"{end:.4f}" for end in ends)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _score(value: float | None) -> str:
    return "" if value is None else f" [{value:.4f}]"
