"""An ablation's report: one table, as Markdown, LaTeX and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from limrank_evals.ablating.arms import Ablation
from limrank_evals.ablating.comparing import FIRST_STAGE, Line, Panel, Values, compare_arms
from limrank_evals.ablating.judging import Evaluation
from limrank_plugins import __version__

SCHEMA = "limrank eval ablate report 1"
_HEADS = ("arm", "rows", "steps", "score", "difference", "p", "won/tied/lost")
_LATEX = str.maketrans(
    {c: "\\" + c for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
)


@dataclass(frozen=True, slots=True)
class ArmScores:
    """A finished arm.

    Attributes:
        facts: rows, plan, steps: `running.Ready.as_json`.
        scores: what its `scores.json` holds.
    """

    facts: Mapping[str, Any]
    scores: Mapping[str, Any]

    @property
    def values(self) -> Values:
        """Its numbers by split, measure and query."""
        found: Values = self.scores["values"]
        return found


@dataclass(frozen=True)
class Report:
    """All finished arms of an ablation.

    Attributes:
        ablation: see there.
        arms: by name, in the order of the ablation.
    """

    ablation: Ablation
    arms: Mapping[str, ArmScores]

    @property
    def missing(self) -> list[str]:
        """Arms that are not finished."""
        return [arm.name for arm in self.ablation.arms if arm.name not in self.arms]

    @cached_property
    def panels(self) -> list[Panel]:
        """The numbers; see `compare_arms`."""
        first = next((one.scores["first"] for one in self.arms.values()), None)
        values = {name: one.values for name, one in self.arms.items()}
        return compare_arms(values, first, self.ablation.reference, self._settings)

    @property
    def _settings(self) -> Evaluation:
        return self.ablation.evaluation or Evaluation()

    def notes(self) -> list[str]:
        """What a reader must know beside the numbers, a sentence each."""
        a, e = self.ablation, self._settings
        told = [
            f"Reference: {a.reference}. Scores and differences times 100, with {e.level:.0%} bootstrap "
            f"intervals over queries; p: paired randomisation test, corrected for the number of arms (Holm).",
            "Every arm is one training run: the tests say how sure a difference between these models is, not "
            "between such runs. For that, train arms again with other seeds (set: {seed: …}).",
            _STEPS.get(str(a.steps), f"Every arm was trained for {a.steps} steps, whatever its rows."),
        ]
        if self.missing:
            told.append(f"Not finished: {', '.join(self.missing)}.")
        if a.reference in self.missing:
            told.append("The reference arm is not finished: nothing is compared.")
        for name, one in self.arms.items():
            if one.facts["taken_out"]:
                told.append(f"{name}: {one.facts['taken_out']} rows were taken out and not replaced.")
            if one.scores["failures"]:
                told.append(f"{name}: {one.scores['failures']} documents could not be judged.")
        return told

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "ablation": self.ablation.name,
            "reference": self.ablation.reference,
            "evaluation": self._settings.as_json(),
            "arms": [
                {**one.facts, "training": one.scores["training"], "results": one.scores["results"]}
                for one in self.arms.values()
            ],
            "missing": self.missing,
            "measures": [
                {
                    "split": panel.split,
                    "measure": panel.measure,
                    "arms": {line.arm: _line_json(line) for line in panel.lines},
                }
                for panel in self.panels
            ],
            "notes": self.notes(),
            "warnings": {name: one.scores["warnings"] for name, one in self.arms.items()},
        }

    def markdown(self) -> str:
        """The table in GitHub's Markdown, its notes below."""
        lines = [_row(["measure", *_HEADS]), _row(["---", "---", *["---:"] * (len(_HEADS) - 1)])]
        lines += [_row(row) for row in self._rows()]
        return "\n".join([*lines, "", "\n\n".join(_plain(note) for note in self.notes())]) + "\n"

    def latex(self) -> str:
        """The table for LaTeX with booktabs, its notes below."""
        rows = list(self._rows())
        lines = [
            "\\begin{tabular}{ll" + "r" * (len(_HEADS) - 1) + "}",
            "\\toprule",
            _tex(["measure", *_HEADS]),
        ]
        for number, row in enumerate(rows):
            if not number or rows[number - 1][0] != row[0]:
                lines.append("\\midrule")
            lines.append(_tex(row))
        lines += ["\\bottomrule", "\\end{tabular}", ""]
        return "\n".join([*lines, *(f"\\par {note.translate(_LATEX)}" for note in self.notes())]) + "\n"

    def _rows(self) -> list[list[str]]:
        return [[named(panel), *self._cells(panel, line)] for panel in self.panels for line in panel.lines]

    def _cells(self, panel: Panel, line: Line) -> list[str]:
        rows = steps = "–"
        if line.arm in self.arms:
            one = self.arms[line.arm]
            rows, steps = f"{one.facts['rows']:,}", f"{one.scores['training']['steps']:,}"
        score = f"{100 * line.mean:.2f}{_between(line.interval)}"
        if line.comparison is None:
            told = ["reference" if line.arm == self.ablation.reference else "–", "–", "–"]
        else:
            c, p = line.comparison, line.holm_p
            told = [
                f"{100 * c.difference:+.2f}{_between(c.interval, signed=True)}",
                "–" if p is None else f"{p:.4f}",
                "/".join(map(str, c.record)),
            ]
        return [line.arm, rows, steps, score, *told]


_STEPS = {
    "epochs": "Every arm was trained for its plan's epochs: fewer rows are fewer steps.",
    "equal": "Every arm was trained for as many steps as the reference: fewer rows are seen more often.",
}


def named(panel: Panel) -> str:
    """A panel's name in tables."""
    return f"{panel.split or 'all splits'} {panel.measure}".strip()


def _line_json(line: Line) -> dict[str, Any]:
    made: dict[str, Any] = {
        "mean": line.mean,
        "interval": [line.interval.low, line.interval.high] if line.interval else None,
    }
    if line.comparison is not None:
        made["comparison"] = {**line.comparison.as_json(), "holm_p": line.holm_p}
    return made


def _between(interval: Any, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    low, high = (f"{100 * end:{'+' if signed else ''}.2f}" for end in (interval.low, interval.high))
    return f" ({low} to {high})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(_plain(cell).replace("|", "\\|").split()) for cell in cells) + " |"


def _plain(text: str) -> str:
    return text.replace("<", "&lt;")


def _tex(cells: Sequence[str]) -> str:
    return " & ".join(cell.replace("–", "--").translate(_LATEX) for cell in cells) + r" \\"


__all__ = ["FIRST_STAGE", "ArmScores", "Report", "named"]
