"""What the cells of a zoo found, put together: comparisons, JSON, tables. Nothing is computed but tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_evals.comparison import Comparison, Resampling, compare_values
from limrank_evals.tables import Cell, Grid, interval_text, number_text
from limrank_evals.zoo.cell import MEASURE
from limrank_evals.zoo.grid import FIRST_STAGE, MINI, OUTPUTS, SCHEMA, CellOutcome
from limrank_evals.zoo.quality_plot import draw_zoo
from limrank_evals.zoo.zoo_row import Row, Shares
from limrank_plugins.errors import InputError
from limrank_plugins.outputs import write_json, write_whole
from limrank_plugins.segments import clean_text

HEADS = (
    "recipe", f"{MEASURE} (95%)", "− first stage (p)", "− mini (p)", "failed", "repaired", "abstained",
    "tokens read", "written", "CPU s", "peak MiB",
)  # fmt: skip
_SHARES = ("of full's", "of its tokens written", "of all its tokens")
_BELOW = (
    f"{MEASURE} times 100 with its bootstrap interval; differences with the p-value of the paired "
    f"randomisation test. Failed: documents that could not be judged, of all; they keep their first-stage "
    f"places. Repaired: malformed replies. Abstained: groups that no document was chosen of. Tokens and CPU "
    f"seconds are for each query: tokens read as if nothing were shared, seconds of ranking alone, on all "
    f"cores together. Peak memory is that of the recipe's own process."
)
_OF_FULL = (
    f" The last columns are shares of full reasoning's {MEASURE}, of the tokens it writes, and of those it "
    f"writes and reads, what prompts begin with in common counted once."
)


@dataclass(frozen=True, slots=True)
class ZooReport:
    """All rows by collection, the first stage's first, then `mini`, then the others, best first.

    Attributes:
        settings: what all numbers have in common.
        left_out: why a recipe was not run, by name.
        rows: by collection.
    """

    settings: Mapping[str, Any]
    left_out: Mapping[str, str]
    rows: Mapping[str, Sequence[Row]]

    def by_reason(self) -> dict[str, list[str]]:
        """The recipes that were left out, by the reason."""
        recipes: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            recipes.setdefault(reason, []).append(name)
        return recipes

    def failed(self) -> dict[str, list[str]]:
        """What has no number, or none that is final, by the reason."""
        cells: dict[str, list[str]] = {}
        for collection, rows in self.rows.items():
            for row in rows:
                record = row.outcome.record
                if record is None or record["values"] is None or not record["final"]:
                    cells.setdefault(row.why, []).append(f"{collection} {row.outcome.recipe}")
        return cells

    def grid(self, collection: str) -> Grid:
        """The table of a collection."""
        notes: list[str] = []

        def noted(text: str, why: str) -> Cell:
            if not why:
                return Cell(text)
            if why not in notes:
                notes.append(why)
            return Cell(text, None, (notes.index(why) + 1,))

        rows = self.rows[collection]
        cells = [_cells(row, noted) for row in rows]
        if not any(row.shares for row in rows):
            return Grid(HEADS, cells, [self._setting(collection)], notes)
        cells = [[*line, *_of_full(row.shares)] for line, row in zip(cells, rows, strict=True)]
        return Grid((*HEADS, *_SHARES), cells, [self._setting(collection)], notes)

    def markdown(self) -> str:
        """All tables, and what was left out."""
        parts = [f"## {collection}\n\n{self.grid(collection).markdown()}" for collection in self.rows]
        left_out = [f"- {', '.join(names)}: {reason}" for reason, names in self.by_reason().items()]
        if left_out:
            parts.append("## Not run on this model\n\n" + "\n".join(left_out) + "\n")
        compared = any(row.shares for rows in self.rows.values() for row in rows)
        below = _BELOW + _OF_FULL if compared else _BELOW
        return f"# {self.settings['model']}\n\n{below}\n\n" + "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        collections = {name: [row.as_json() for row in rows] for name, rows in self.rows.items()}
        return {
            "schema": SCHEMA,
            "settings": self.settings,
            "left_out": dict(self.left_out),
            "collections": collections,
        }

    def write(self, folder: Path) -> None:
        """Write JSON, tables and plot; equal cells make equal bytes."""
        values, table, plot = (folder / name for name in OUTPUTS)
        write_json(values, self.as_json())
        write_whole(table, clean_text(self.markdown()).encode("utf-8"))
        title = f"{self.settings['model']}, reasoning {self.settings['reasoning']}"
        write_whole(plot, clean_text(draw_zoo(title, self.rows)).encode("utf-8"))

    def _setting(self, collection: str) -> str:
        s = self.settings
        records = [row.outcome.record for row in self.rows[collection] if row.outcome.record]
        counts = {record["queries"] for record in records if "queries" in record}
        many = " or ".join(map(str, sorted(counts))) or "no"
        queries = f"the first {many} judged queries" if s["queries"] is not None else f"all {many} queries"
        return (
            f"{queries}, {s['batch']} in lockstep, {s['depth']} candidates each by {s['first_stage']}; "
            f"{s['model']} on {s['backend']}, {s['dtype']}, reasoning {s['reasoning']}, seed {s['seed']}; "
            f"mini in float32.{self._chance(collection)}"
        )

    def _chance(self, collection: str) -> str:
        """What a random order is worth; first stages that were measured before do not say."""
        records = [row.outcome.record or {} for row in self.rows[collection] if row.is_first]
        known = [record["chance"] for record in records if record.get("chance") is not None]
        return f" A random order of the candidates has {number_text(known[0])}." if known else ""


def report(
    outcomes: Sequence[CellOutcome],
    settings: Mapping[str, Any],
    left_out: Mapping[str, str],
    *,
    named: bool = False,
) -> ZooReport:
    """Compare the cells of each collection with its first stage, `mini`, and full reasoning.

    Args:
        outcomes: of all cells.
        settings: what all numbers have in common.
        left_out: why a recipe was not run, by name.
        named: the recipes were asked for by name: what the model turned out not to serve is a row without a
            number. Otherwise it is left out like the others.

    Raises:
        InputError: the cells of a collection are of different texts or judgements.
    """
    resampling = Resampling(seed=settings["seed"])
    rows: dict[str, list[Row]] = {}
    if not named:
        refused = {o.recipe: str(o.record["why"]) for o in outcomes if o.record and o.record.get("unserved")}
        left_out = {
            **left_out,
            **{recipe: f"this model cannot be asked: {why}" for recipe, why in refused.items()},
        }
        outcomes = [outcome for outcome in outcomes if outcome.recipe not in refused]
    for collection in dict.fromkeys(outcome.collection for outcome in outcomes):
        inside = [outcome for outcome in outcomes if outcome.collection == collection]
        _same_texts(collection, inside)
        records = {o.recipe: o.record for o in inside if o.record and o.record["values"]}
        values = {recipe: record["values"] for recipe, record in records.items()}
        compared = []
        for outcome in inside:
            own = values.get(outcome.recipe)
            others = [] if outcome.recipe == FIRST_STAGE else [FIRST_STAGE, MINI, outcome.full]
            against = {
                other: compare_values(values[other], own, resampling)
                for other in others
                if own and other in values and other != outcome.recipe
            }
            shares = Shares.of(outcome.record or {}, records.get(outcome.full, {}))
            compared.append(
                Row(outcome, resampling.mean(list(own.values())) if own else None, against, shares)
            )
        rows[collection] = compared[:2] + sorted(compared[2:], key=_best_first)
    return ZooReport(settings, left_out, rows)


def _best_first(row: Row) -> tuple[float, str]:
    return (1.0 if row.quality is None else -row.quality.mean, row.outcome.recipe)


def _same_texts(collection: str, outcomes: Sequence[CellOutcome]) -> None:
    made_of = [outcome.record["made of"] for outcome in outcomes if outcome.record]
    known = [facts for facts in made_of if facts is not None]
    if any(facts != known[0] for facts in known):
        raise InputError(
            f"the cells of {collection} were measured on different texts or judgements: start over with "
            f"--fresh"
        )


def _cells(row: Row, noted: Any) -> list[str | Cell | None]:
    record = row.outcome.record
    name = row.name
    if record is None or record.get("unserved"):
        return [name, noted("–" if record else "failed", row.why), *[None] * (len(HEADS) - 2)]
    number: str | Cell = noted("–", row.why)
    if row.quality is not None:
        interval = row.quality.interval
        text = f"{number_text(row.quality.mean)} ({interval_text(interval)})"
        number = noted(text, "; ".join(row.unread.sentences()))
    peak = f"{record['peak_bytes'] / 2**20:,.0f}" if record["peak_bytes"] else None
    if row.is_first:
        return [name, number, *[None] * (len(HEADS) - 3), peak]
    failures, documents = record["failures"], record["documents"]
    cost = record["cost"]
    return [
        name,
        number,
        _difference(row.against.get(FIRST_STAGE)),
        _difference(row.against.get(MINI)),
        noted(f"{failures:,} of {documents:,}", row.why) if failures else "0",
        f"{record['repairs']:,}",
        f"{cost['abstentions']:,}",
        f"{row.per_query('prompt_tokens'):,.0f}",
        f"{row.per_query('generated_tokens'):,.0f}",
        f"{row.per_query('cpu_seconds'):,.2f}",
        peak,
    ]


def _of_full(shares: Shares | None) -> list[str | Cell | None]:
    values = (shares.quality, shares.written, shares.computed) if shares else (None, None, None)
    return [None if value is None else f"{value:.1%}" for value in values]


def _difference(one: Comparison | None) -> str | None:
    if one is None:
        return None
    p = "–" if one.randomisation_p is None else f"{one.randomisation_p:.3f}"
    return f"{number_text(one.difference, signed=True)} ({p})"
