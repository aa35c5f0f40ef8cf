"""The error analysis for people: one table for each question, then the worst cases by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from limrank_evals.cli.printing import show_grid
from limrank_evals.errors import Analysis
from limrank_evals.tables import Grid, ends_text, value_text
from limrank_plugins.cli import common
from limrank_plugins.wording import number_of, shortened, verb_for

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
_FAILURES = {
    "not_found": "none among the candidates",
    "buried": "ranked too low",
    "without_results": "nothing ranked",
}
_OTHER_RUN = ("against the other run", "other", "this", "difference", "interval", "p", "less/as/more")


def show(analysis: Analysis, worst: int) -> None:
    """Print it."""
    record = _shortened(analysis.as_json(worst))
    console = common.Terminal()
    _budget(console, record)
    _failing(console, record)
    _few(console, record)
    if record["confusion"] is not None:
        _confusion(console, record["confusion"])
    if record["false_claims"] is not None and record["false_claims"]["queries"]:
        _false_claims(console, record["false_claims"], record["top"])
    if record["ties"] is not None:
        _lines(console, _ties(record["ties"]))
    if record["mishaps"] is not None:
        _lines(console, _mishaps(record["mishaps"]))
    if record["against"] is not None:
        console.print()
        show_grid(Grid(_OTHER_RUN, list(_against(record["against"], record["measure"]))), console)


def _shortened(value: Any) -> Any:
    """Ids and reasons as the terminal shows them."""
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part) for part in value]
    return shortened(value, 300) if isinstance(value, str) else value


def _budget(console: common.Terminal, record: dict[str, Any]) -> None:
    budget = record["budget"]
    rows = [
        [words, *_mean(budget[name], signed=name.startswith("gained"))]
        for name, words in _BUDGET.items()
        if name in budget
    ]
    show_grid(Grid(("error budget", record["measure"], "interval"), rows), console)
    for case in budget["cases"]:
        best = case["best_relevant_rank"]
        there = f"the best at {best}" if best else "none of them ranked"
        values = f"{value_text(case['achieved'])} of {value_text(case['ceiling'])}"
        note = f"({case['relevant']} relevant, {there})"
        console.print(f"misordered  {values}  {case['query']}  {note}", soft_wrap=True)
    console.print()


def _failing(console: common.Terminal, record: dict[str, Any]) -> None:
    failing, shares = record["failing"], record["failing"]["of_failures"]
    rows = [
        [words, str(failing[name]), value_text(shares[name]["share"]), ends_text(shares[name]["interval"])]
        for name, words in _FAILURES.items()
    ]
    heads = (f"no relevant document in the first {failing['top']}", "queries", "of these", "interval")
    show_grid(Grid(heads, rows), console)
    dropped = failing["dropped"]
    more = "" if dropped is None else f"; {dropped} of those ranked too low were at the first stage's top"
    console.print(
        f"{failing['answered']} of {number_of(failing['queries'], 'query')} answered{more}", style="dim"
    )
    for case in failing["cases"]["buried"]:
        place = "not ranked" if case["rank"] is None else f"at {case['rank']}"
        before = "" if case["first_rank"] is None else f", first stage at {case['first_rank']}"
        console.print(f"buried  {case['query']}  {case['document']} {place}{before}", soft_wrap=True)
    for outcome, words in (("not_found", "not found"), ("without_results", "nothing ranked")):
        if failing["cases"][outcome]:
            console.print(f"{words}  {'  '.join(failing['cases'][outcome])}", soft_wrap=True)
    console.print()


def _few(console: common.Terminal, record: dict[str, Any]) -> None:
    by_relevant = record["by_relevant"]
    rows = []
    for row in by_relevant["bins"]:
        beside = row["against_first_stage"]
        rows.append(
            [
                row["relevant"],
                str(row["queries"]),
                *_mean(row["achieved"]),
                _mean(row["first_stage"])[0],
                None if beside is None else value_text(beside["difference"], signed=True),
                None if beside is None else value_text(beside["p"]["randomisation"]),
                _mean(row["ceiling"])[0],
                str(row["not_found"]),
                str(row["buried"]),
            ]
        )
    heads = (
        "relevant",
        "queries",
        record["measure"],
        "interval",
        "first stage",
        "difference",
        "p",
        "ceiling",
    )
    show_grid(Grid((*heads, "not found", "too low"), rows), console)
    for name, trend in by_relevant["trend"].items():
        value = "–" if trend is None else f"rho {trend['rho']:+.3f}, p {trend['p']:.4f}"
        about = f"{name.replace('_', ' ')} with the number of relevant documents: {value}"
        console.print(about, style="dim")
    console.print()


def _confusion(console: common.Terminal, confusion: dict[str, Any]) -> None:
    for title, name in (("confusion", "sorts"), ("negatives", "negatives"), ("kinds", "matrix")):
        relations = confusion[name]
        if not relations or (name == "matrix" and len(relations) <= len(confusion["sorts"])):
            continue
        rows = [
            [
                row["worse"],
                row["better"],
                str(row["queries"]),
                str(row["pairs"]),
                *_mean(row["rate"]),
                None if row["tied"] is None else str(row["tied"]),
                _mean(row["gap"], signed=True)[0],
                str(row["worse_is_first"]["queries"]),
            ]
            for row in relations
        ]
        heads = ("better", "queries", "pairs", "confused", "interval", "equal", "gap", "first")
        show_grid(Grid((f"{title}: worse", *heads), rows), console)
    for case in confusion["cases"]:
        sides = [
            f"{side['document']} ({side['kind']}) at {side['rank']}{_score(side['score'])}"
            for side in (case["worse"], case["better"])
        ]
        console.print(f"confused  {case['query']}  {' above '.join(sides)}", soft_wrap=True)
    console.print()


def _false_claims(console: common.Terminal, claims: dict[str, Any], top: int) -> None:
    titles = {
        "at_top": f"in the first {top}",
        "first": "in the first place",
        "above_relevant": f"in the first {top}, above all relevant",
    }
    counts = {name: claims["of_queries"][name] for name in titles}
    rows = [
        [titles[name], str(row["queries"]), str(claims["queries"]), ends_text(row["interval"])]
        for name, row in counts.items()
    ]
    show_grid(Grid(("false claims", "queries", "of", "interval"), rows), console)
    for case in claims["cases"]:
        place = f"{case['document']} at {case['rank']}{_score(case['score'])}"
        console.print(f"false claim  {case['query']}  {place}", soft_wrap=True)
    console.print()


def _ties(ties: dict[str, Any]) -> Iterable[str]:
    below = number_of(ties["relevant_below"], "relevant document")
    yield (
        f"{ties['tied']} of {number_of(ties['scored'], 'score')} shared; below another one of equal score: "
        f"{below} ({number_of(ties['queries_below'], 'query')})"
    )
    if (saturated := ties["saturated"]) is not None:
        yield (
            f"{number_of(saturated['relevant_low'], 'relevant document')} "
            f"{verb_for(saturated['relevant_low'], 'have')} a probability next to 0, "
            f"{saturated['others_high']} others one next to 1"
        )
    for case in ties["cases"]:
        place = f"{case['document']} at {case['rank']} below {case['below']} at {case['below_rank']}"
        yield f"tied  {case['query']}  {place}{_score(case['score'])}"


def _mishaps(mishaps: dict[str, Any]) -> Iterable[str]:
    failures, cut = mishaps["failures"], mishaps["cut"]
    yield f"{number_of(failures['documents'], 'document')} failed ({failures['relevant']} relevant)"
    if mishaps["not_read"]:
        below = f"{cut['relevant']} relevant, {cut['relevant_below_top']} of them below the top"
        yield f"{'; '.join(mishaps['not_read'])} ({below})"
    for case in failures["cases"]:
        yield f"failed  {case['query']}  {case['document']}: {case['reason']}"


def _against(against: dict[str, Any], measure: str) -> Iterable[list[str]]:
    names = ("lost", "tied", "won")
    yield [measure, *_difference(against["measure"], names)]
    for row in against["confusion"]:
        names = ("less_confused", "as_confused", "more_confused")
        yield [f"{row['worse']} above {row['better']}", *_difference(row, names)]


def _difference(row: dict[str, Any], counts: Sequence[str]) -> list[str]:
    return [
        value_text(row["first"]),
        value_text(row["second"]),
        value_text(row["difference"], signed=True),
        ends_text(row["interval"], signed=True),
        value_text(row["p"]["randomisation"]),
        "/".join(str(row["queries"][name]) for name in counts),
    ]


def _lines(console: common.Terminal, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)


def _mean(value: dict[str, Any] | None, *, signed: bool = False) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    return value_text(value["mean"], signed=signed), ends_text(value["interval"], signed=signed)


def _score(value: float | None) -> str:
    return "" if value is None else f" [{value_text(value)}]"
