"""An ablation's report: one table, as Markdown, LaTeX and JSON, and a plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from limrank_evals.ablations.arm_evaluation import Evaluation
from limrank_evals.ablations.arm_plot import SVG, draw_arms
from limrank_evals.ablations.arms import Ablation
from limrank_evals.ablations.panels import ArmScore, Panel, Values, compare_arms
from limrank_evals.comparison import ends
from limrank_evals.stats import Interval
from limrank_evals.tables import Grid, interval_text, level_text, number_text
from limrank_plugins import __version__
from limrank_plugins.outputs import write_json, write_whole
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of, verb_for

SCHEMA = "limrank eval ablate report 1"
REPORT, MARKDOWN, LATEX = "report.json", "table.md", "table.tex"
OUTPUTS = (REPORT, MARKDOWN, LATEX, SVG)
_HEADS = ("measure", "arm", "rows", "steps", "score", "difference", "p", "won/tied/lost")
_STEPS = {
    "epochs": "Every arm was trained for its plan's epochs: fewer rows are fewer steps.",
    "equal": "Every arm was trained for as many steps as the reference: fewer rows are seen more often.",
}


@dataclass(frozen=True, slots=True)
class ArmResult:
    """A finished arm.

    Attributes:
        facts: rows, plan, steps: `arm_setup.ArmSetup.as_json`.
        scores: what its `scores.json` holds.
    """

    facts: Mapping[str, Any]
    scores: Mapping[str, Any]

    @property
    def values(self) -> Values:
        """Its numbers by split, measure and query."""
        values: Values = self.scores["values"]
        return values


@dataclass(frozen=True)
class AblationReport:
    """All finished arms of an ablation.

    Attributes:
        ablation: see there.
        arms: by name, in the order of the ablation.
    """

    ablation: Ablation
    arms: Mapping[str, ArmResult]

    @property
    def missing(self) -> list[str]:
        """Arms that are not finished."""
        return [arm.name for arm in self.ablation.arms if arm.name not in self.arms]

    @cached_property
    def panels(self) -> list[Panel]:
        """The numbers; see `compare_arms`."""
        first = next((arm.scores["first"] for arm in self.arms.values()), None)
        values = {name: arm.values for name, arm in self.arms.items()}
        return compare_arms(values, first, self.ablation.reference, self._settings)

    @property
    def _settings(self) -> Evaluation:
        return self.ablation.evaluation or Evaluation()

    def notes(self) -> list[str]:
        """What a reader must know beside the numbers, a sentence each."""
        a, e = self.ablation, self._settings
        notes = [
            f"Reference: {a.reference}. Scores and differences times 100, with {level_text(e.level)} "
            "bootstrap intervals over queries; p: paired randomisation test, corrected for the number of "
            "arms (Holm).",
            "Every arm is one training run: the tests say how sure a difference between these models is, not "
            "between such runs. For that, train arms again with other seeds (set: {seed: …}).",
            _STEPS.get(str(a.steps), f"Every arm was trained for {a.steps} steps, whatever its rows."),
        ]
        if self.missing:
            notes.append(f"Not finished: {', '.join(self.missing)}.")
        if a.reference in self.missing:
            notes.append("The reference arm is not finished: nothing is compared.")
        for name, arm in self.arms.items():
            if arm.facts["taken_out"]:
                notes.append(
                    f"{name}: {number_of(arm.facts['taken_out'], 'row')} "
                    f"{verb_for(arm.facts['taken_out'], 'were')} taken out and not replaced."
                )
            if arm.scores["failures"]:
                notes.append(f"{name}: {number_of(arm.scores['failures'], 'document')} could not be judged.")
            if not_read := Unread(**arm.scores.get("unread", {})).sentences():
                notes.append(f"{name}: {'; '.join(not_read)}.")
        return notes

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "ablation": self.ablation.name,
            "reference": self.ablation.reference,
            "evaluation": self._settings.as_json(),
            "arms": [
                {**arm.facts, "training": arm.scores["training"], "results": arm.scores["results"]}
                for arm in self.arms.values()
            ],
            "missing": self.missing,
            "measures": [
                {
                    "split": panel.split,
                    "measure": panel.measure,
                    "arms": {score.arm: _score_json(score) for score in panel.scores},
                }
                for panel in self.panels
            ],
            "notes": self.notes(),
            "warnings": {name: arm.scores["warnings"] for name, arm in self.arms.items()},
        }

    @cached_property
    def table(self) -> Grid:
        """Every measure and arm, the notes below."""
        rows = [
            [f"{panel.split or 'all splits'} {panel.measure}", *self._cells(score)]
            for panel in self.panels
            for score in panel.scores
        ]
        return Grid(_HEADS, rows, self.notes(), left=2)

    def write(self, folder: Path) -> None:
        """Write `report.json`, `table.md`, `table.tex` and `arms.svg`; nothing where no arm is finished."""
        if not self.arms:
            return
        write_json(folder / REPORT, self.as_json())
        write_whole(folder / MARKDOWN, self.table.markdown().encode("utf-8"))
        write_whole(folder / LATEX, self.table.latex(grouped=True).encode("utf-8"))
        write_whole(folder / SVG, draw_arms(self.ablation, self.panels[0], self._rows()).encode("utf-8"))

    def _rows(self) -> dict[str, int]:
        return {name: arm.facts["rows"] for name, arm in self.arms.items()}

    def _cells(self, score: ArmScore) -> list[str | None]:
        counts: list[str | None] = [None, None]
        if score.arm in self.arms:
            arm = self.arms[score.arm]
            counts = [f"{arm.facts['rows']:,}", f"{arm.scores['training']['steps']:,}"]
        mean = _with_interval(score.mean, score.interval)
        c = score.comparison
        if c is None:
            return [
                score.arm,
                *counts,
                mean,
                "reference" if score.arm == self.ablation.reference else None,
                None,
                None,
            ]
        difference = _with_interval(c.difference, c.interval, signed=True)
        p = number_text(score.holm_p, times=1, decimals=4)
        return [score.arm, *counts, mean, difference, p, "/".join(map(str, c.record))]


def _score_json(score: ArmScore) -> dict[str, Any]:
    record: dict[str, Any] = {"mean": score.mean, "interval": ends(score.interval)}
    if score.comparison is not None:
        record["comparison"] = {**score.comparison.as_json(), "holm_p": score.holm_p}
    return record


def _with_interval(value: float, interval: Interval | None, *, signed: bool = False) -> str:
    text = number_text(value, decimals=2, signed=signed)
    return text if interval is None else f"{text} ({interval_text(interval, decimals=2, signed=signed)})"
