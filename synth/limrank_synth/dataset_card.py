"""The dataset card: what is in an export, whose texts they are, how it was made and what for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limrank_plugins.outputs import write_whole
from limrank_plugins.segments import clean_text
from limrank_plugins.wording import in_dollars, number_of, verb_for
from limrank_synth import savings as money
from limrank_synth.card_plots import draw
from limrank_synth.markdown import cell, counted, plain, table_of
from limrank_synth.pointwise_layout import pointwise_prompt
from limrank_synth.row_statistics import LENGTHS, Statistics, quantile
from limrank_synth.savings import savings
from limrank_synth.source_licences import table

CARD, PLOTS = "README.md", "plots"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True)
class CardContents:
    """What a card tells.

    Attributes:
        title: of the set.
        layout: the format's name, and what it is in one line.
        records: examples by file.
        left_out: rows and queries that are in none, by reason.
        statistics: of the rows.
        runs: the reports of the runs the rows come from; empty where they are not known.
        mix: what `mix.json` says, or None.
        options: of the export.
        priced: whether LIMRANK's training cost says anything about this set; it does not about plots.
    """

    title: str
    layout: tuple[str, str]
    records: Mapping[str, int]
    left_out: Mapping[str, int]
    statistics: Statistics
    runs: Sequence[Mapping[str, Any]] = ()
    mix: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    priced: bool = True


def write_card(folder: Path, contents: CardContents) -> None:
    """Write `README.md` and `plots/` into a folder.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    stages = acceptance(contents.runs)
    costs = savings(contents.statistics.rows, cost(contents.runs)) if contents.priced else None
    (folder / PLOTS).mkdir()
    plots = draw(folder / PLOTS, contents.statistics, stages, costs)
    parts = [
        _front(contents),
        f"# {plain(contents.title)}\n",
        _what(contents),
        _licences(contents),
        _looks(contents, plots),
        _making(contents, stages),
        *([_cost(costs, bool(contents.runs))] if costs is not None else []),
        _use(contents),
    ]
    write_whole(folder / CARD, clean_text("\n".join(parts)).encode("utf-8"))


def acceptance(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """By stage, in their order: items in and items out, of all runs together."""
    totals: dict[str, tuple[int, int]] = {}
    for run in runs:
        for stage, counts in run.get("stages", {}).items():
            entered, out = totals.get(stage, (0, 0))
            totals[stage] = entered + int(counts["in"]), out + int(counts["out"])
    return [(stage, entered, out) for stage, (entered, out) in totals.items()]


def cost(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Dollars of all runs, or None where none of them says, or one says that it does not know."""
    if any(run.get("cost", 0.0) is None for run in runs):
        return None
    known = [float(run["cost"]) for run in runs if isinstance(run.get("cost"), int | float)]
    return sum(known) if known else None


def _front(contents: CardContents) -> str:
    records = max(contents.records.values(), default=0)
    size = next((name for most, name in _SIZES if records < most), "n>1M")
    files = [name for name in contents.records if name.endswith((".jsonl", ".json"))]
    lines = [
        "---",
        f"pretty_name: {json.dumps(contents.title)}",
        "license: other",
        "license_name: those-of-its-sources",
        "license_link: README.md",
        "task_categories:",
        "- text-ranking",
        "tags:",
        *(f"- {tag}" for tag in ("limrank", "reranking", "reasoning", "synthetic")),
        "size_categories:",
        f"- {size}",
        "configs:",
    ]
    for number, name in enumerate(files):
        lines += [
            f"- config_name: {json.dumps('default' if number == 0 else Path(name).stem)}",
            "  data_files:",
            "  - split: train",
            f"    path: {json.dumps(name)}",
        ]
    return "\n".join([*lines, "---", ""])


def _what(contents: CardContents) -> str:
    statistics = contents.statistics
    share = f", {statistics.relevant / statistics.rows:.1%} of them relevant" if statistics.rows else ""
    lines = [
        f"{number_of(statistics.rows, 'row')} about {number_of(statistics.queries, 'query')}{share}, as "
        f"`{contents.layout[0]}`: "
        f"{contents.layout[1]}.",
        "",
        table_of(
            ("file", "examples"), [(f"`{name}`", f"{number:,}") for name, number in contents.records.items()]
        ),
    ]
    if contents.left_out:
        lines += ["Left out, and why:", "", counted("reason", contents.left_out)]
    return "\n".join(lines)


def _licences(contents: CardContents) -> str:
    entries = table(contents.statistics.sources)
    words = {True: "yes", False: "**no**", None: "not known"}
    bound = [entry["name"] for entry in entries if entry["commercial"] is False]
    unknown = [entry["name"] for entry in entries if entry["commercial"] is None]
    lines = [
        "## Licences",
        "",
        "Every row carries the licences of all that went into it; they bind it together.",
        "",
        table_of(
            ("source", "licence", "commercial use", "rows"),
            [
                (
                    cell(str(e["name"])),
                    cell(str(e["licence"])),
                    words[_flag(e["commercial"])],
                    f"{e['rows']:,}",
                )
                for e in entries
            ],
        ),
    ]
    if bound:
        lines.append(
            f"**Not for commercial use**: this set holds texts of {cell(', '.join(map(str, bound)))}.\n"
        )
    if unknown:
        lines.append(
            f"Of {cell(', '.join(map(str, unknown)))} it is not known whether they may be used "
            "commercially; as long as nobody has read their terms, that counts as no.\n"
        )
    declared = (contents.mix or {}).get("declared_commercial")
    if declared:
        lines.append(
            f"Whoever built the mix declared these to be for commercial use: {cell(', '.join(declared))}.\n"
        )
    return "\n".join(lines)


def _looks(contents: CardContents, plots: Mapping[str, str]) -> str:
    statistics = contents.statistics
    lines = ["## What is in it", ""]
    for name, title in plots.items():
        if name not in ("acceptance.png", "cost.png"):
            lines += [f"![{title}]({PLOTS}/{name})", ""]
    lengths = [
        (name, *(f"{quantile(statistics.lengths[name], share):,}" for share in (0.05, 0.5, 0.95, 1.0)))
        for name in LENGTHS
    ]
    lines += [table_of(("words", "5 %", "median", "95 %", "longest"), lengths)]
    lines += [counted("passage written as", statistics.intents), counted("kind of query", statistics.kinds)]
    if statistics.false_claims:
        lines.append(
            f"{number_of(statistics.false_claims, 'passage')} "
            f"{verb_for(statistics.false_claims, 'state')} something untrue on purpose "
            "(`negative:false-claim`). They must not be shown to anybody as knowledge.\n"
        )
    return "\n".join(lines)


def _making(contents: CardContents, stages: Sequence[tuple[str, int, int]]) -> str:
    lines = ["## How it was made", ""]
    if contents.mix is not None:
        blend = contents.mix.get("blend", {})
        ratio = blend.get("relevant")
        lines += [
            f"Mixed from {blend.get('rank1', 0):,} Rank1-style and {blend.get('synthetic', 0):,} synthetic "
            f"rows, seed {blend.get('seed')}; share of relevant rows in each part: "
            f"{'as in its pool' if ratio is None else ratio}; kinds and difficulties as in the "
            f"{blend.get('strata')}.",
            "",
            table_of(
                ("part", "read", "not readable", "not usable", "duplicates", "two labels", "taken"),
                [
                    (
                        part,
                        *(f"{counts.get(key, 0):,}" for key in ("read", "unreadable", "unusable")),
                        f"{counts.get('duplicates', 0) + counts.get('duplicates_across', 0):,}",
                        *(f"{counts.get(key, 0):,}" for key in ("contradictory", "taken")),
                    )
                    for part, counts in contents.mix.get("parts", {}).items()
                ],
            ),
        ]
    if stages:
        lines += [f"![Acceptance by stage]({PLOTS}/acceptance.png)", ""]
    for run in contents.runs:
        settings = run.get("settings", {})
        lines += [
            f"Synthesised from {run.get('seeds', '?')} seeds, run seed {settings.get('seed', '?')}, with:",
            "",
            table_of(
                ("role", "model", "temperature", "top p", "calls", "cost"),
                [
                    (
                        role,
                        cell(str(played.get("model"))),
                        str(played.get("temperature")),
                        str(played.get("top_p")),
                        f"{int(run.get('calls', {}).get(role, {}).get('calls', 0)):,}",
                        "not known"
                        if _is_unpriced(played)
                        else in_dollars(float(run.get("calls", {}).get(role, {}).get("cost", 0.0))),
                    )
                    for role, played in settings.get("roles", {}).items()
                ],
            ),
        ]
    if not contents.runs:
        lines += ["No report of a run was given: how its synthetic rows were made is not told here.", ""]
    lines.append(f"Export options: `{json.dumps(dict(contents.options), sort_keys=True)}`.\n")
    return "\n".join(lines)


def _is_unpriced(played: Mapping[str, Any]) -> bool:
    prices = [played.get(name, 0.0) for name in ("price_in", "price_out")]
    return None in prices and played.get("backend", "openai") == "openai"


def _cost(costs: money.Savings, reported: bool) -> str:
    lines = ["## What it cost, and what it saves", "", f"![GPU-hours]({PLOTS}/cost.png)", ""]
    why = "the prices were not given" if reported else "no report of a run was given"
    spent = f"not known ({why})" if costs.cost is None else in_dollars(costs.cost)
    whole = "" if costs.cost is None else ", for all that was synthesised"
    lines += [
        f"Calls: {spent}{whole}. Training saved, against a set of Rank1's size: about {costs.saved:.1f} "
        f"H100-hours (estimate)."
        + (
            f" The calls have paid for themselves where an H100-hour costs more than "
            f"{in_dollars(costs.break_even)}."
            if costs.break_even is not None
            else ""
        ),
        "",
        f"Formula: hours = rows · epochs · {money.RATE:g}; saved = {money.RANK1_ROWS:,} · "
        f"{money.RANK1_EPOCHS} · {money.RATE:g} - {costs.rows:,} · {money.EPOCHS} · {money.RATE:g}. "
        f"It rests on LIMRANK's {money.HOURS:g} H100-hours for {money.ROWS:,} rows in {money.EPOCHS} epochs "
        f"(arXiv 2510.23544) and on Rank1's {money.RANK1_ROWS:,} rows in {money.RANK1_EPOCHS} epochs "
        "(arXiv 2502.18418), and takes rows to be equally long and model and hardware to be the same.\n",
    ]
    return "\n".join(lines)


def _use(contents: CardContents) -> str:
    shape = pointwise_prompt("{query}", "{passage}")
    lines = [
        "## Intended use",
        "",
        "Training and studying rerankers that reason. Not as a source of knowledge: passages are written by "
        "models, some are wrong on purpose, and verdicts are a model's. Not for evaluating a model that the "
        "same models have judged for.",
        "",
    ]
    if contents.layout[0] in ("trl", "llama-factory"):
        lines += [
            "Prompts are those of inference, byte for byte (`limrank prompt show limrank`); the completion "
            "is a line end, the trace, a line end, `</think>`, a space and `true` or `false`:",
            "",
            "```text",
            f"{shape}\n{{trace}}\n</think> true",
            "```",
            "",
        ]
    return "\n".join(lines)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
