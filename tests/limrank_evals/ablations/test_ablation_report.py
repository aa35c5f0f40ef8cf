"""Arms against their reference: tests over the same queries, corrected for how many there are."""

from __future__ import annotations

import json
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.ablations.ablation_report import AblationReport, ArmResult
from limrank_evals.ablations.arm_evaluation import Evaluation
from limrank_evals.ablations.arms import Ablation, Arm
from limrank_evals.ablations.panels import FIRST_STAGE, compare_arms
from limrank_evals.comparison import Resampling, compare_values, holm
from limrank_plugins.errors import InputError

FEW = Evaluation(resamples=200)


def values(seed: int, splits: dict[str, int], measures: tuple[str, ...] = ("nDCG@10",)):
    dice = random.Random(seed)
    return {
        split: {measure: {f"q{i}": dice.random() for i in range(count)} for measure in measures}
        for split, count in splits.items()
    }


def test_every_arm_is_compared_with_the_reference():
    arms = {name: values(seed, {"test": 30}) for seed, name in enumerate(["a", "b", "c"])}
    first = values(9, {"test": 30})
    (panel,) = compare_arms(arms, first, "b", FEW)
    assert [line.arm for line in panel.scores] == [FIRST_STAGE, "a", "b", "c"]
    by_name = {line.arm: line for line in panel.scores}
    assert by_name["b"].comparison is by_name[FIRST_STAGE].comparison is None
    expected = compare_values(
        arms["b"]["test"]["nDCG@10"], arms["c"]["test"]["nDCG@10"], Resampling(resamples=200)
    )
    assert by_name["c"].comparison == expected
    raw = [by_name[name].comparison.randomisation_p for name in "ac"]
    assert [by_name[name].holm_p for name in "ac"] == holm(raw)
    assert compare_arms({}, None, "b", FEW) == []


def test_all_splits_together_count_the_same():
    splits = {"small": 3, "large": 40}
    arms = {"a": values(1, splits), "b": values(2, splits)}
    panels = compare_arms(arms, None, "a", FEW)
    assert [panel.split for panel in panels] == ["", "small", "large"]
    means = {panel.split: {line.arm: line.mean for line in panel.scores} for panel in panels}
    for arm in "ab":
        assert means[""][arm] == pytest.approx((means["small"][arm] + means["large"][arm]) / 2)
    difference = panels[0].scores[1].comparison.difference
    assert difference == pytest.approx(means[""]["b"] - means[""]["a"])


def test_arms_of_other_queries_are_not_compared():
    with pytest.raises(InputError, match="'a' and 'b' were measured on different queries"):
        compare_arms({"a": values(1, {"test": 3}), "b": values(1, {"test": 4})}, None, "a", FEW)
    with pytest.raises(InputError, match="different queries"):
        compare_arms({"a": values(1, {"x": 3}), "b": values(1, {"y": 3})}, None, "a", FEW)


def test_without_the_reference_nothing_is_compared():
    (panel,) = compare_arms({"a": values(1, {"test": 3})}, None, "gone", FEW)
    assert panel.scores[0].comparison is None


def test_holm_of_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_over_every_set_of_hypotheses(found: list[float]):
    # Closed testing: one is refused where Bonferroni refuses every set that it is in.
    every = range(len(found))
    sets = [some for size in every for some in combinations(every, size + 1)]
    expected = [
        max(min(1.0, len(some) * min(found[j] for j in some)) for some in sets if i in some) for i in every
    ]
    assert holm(found) == pytest.approx(expected)


# ---- reports ------------------------------------------------------------------------------------


def report(**settings: Any) -> AblationReport:
    every = {"p": None}
    arms = (Arm("full", every), Arm("2k", every, 20), Arm("no_expert", every, without=("expert",)))
    ablation = Ablation(
        "mine",
        (*arms, Arm("later", every)),
        {"p": "rows.jsonl"},
        reference="full",
        evaluation=FEW,
        **settings,
    )
    found = {}
    for seed, arm in enumerate(ablation.arms[:-1]):
        facts = {"arm": arm.name, "rows": 100 if arm.total is None else arm.total, "taken_out": 3 * seed}
        found[arm.name] = ArmResult(
            facts,
            {
                "values": values(seed, {"test": 20}, ("nDCG@10", "R@5")),
                "first": values(8, {"test": 20}, ("nDCG@10", "R@5")),
                "training": {"steps": 10 + seed},
                "results": [],
                "failures": 4 * (seed == 1),
                "warnings": [],
            },
        )
    return AblationReport(ablation, found)


def test_a_report_says_what_its_numbers_are_of(tmp_path: Path):
    made = report()
    made.write(tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert table.splitlines()[0].startswith("| measure | arm | rows | steps | score | difference | p |")
    assert table.count("| test nDCG@10 |") == table.count("| test R@5 |") == 4
    (line,) = [one for one in table.splitlines() if one.startswith("| test nDCG@10 | 2k |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    found = json.loads((tmp_path / "report.json").read_text())
    shown = found["measures"][0]["arms"]["2k"]
    assert cells[2:4] == ["20", "11"]
    assert cells[4].startswith(f"{100 * shown['mean']:.2f} (")
    assert cells[5].startswith(f"{100 * shown['comparison']['difference']:+.2f} (")
    assert cells[6] == f"{shown['comparison']['holm_p']:.4f}"
    record = shown["comparison"]["queries"]
    assert cells[7] == f"{record['won']}/{record['tied']}/{record['lost']}"
    for told in (
        "Not finished: later.",
        "2k: 3 rows were taken out",
        "2k: 4 documents could not be judged",
        "one training run",
        "Every arm was trained for its plan's epochs",
    ):
        assert told in table
    assert found["missing"] == ["later"]
    assert (tmp_path / "arms.svg").read_text().startswith("<svg")


def test_latex_is_escaped_and_ruled():
    text = report(steps="equal").table.latex(grouped=True)
    assert "nDCG@10 & full & 100 & 10 &" in text
    assert text.count("\\midrule") == 2
    assert "no\\_expert & 100 & 12" in text
    assert "95\\% bootstrap" in text
    assert "as many steps as the reference" in text
    lines = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert {line.count(" & ") for line in lines} == {7}


def test_equal_reports_have_equal_files(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        report().write(tmp_path / name)
    for file in ("report.json", "table.md", "table.tex", "arms.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_nothing_finished_is_nothing_written(tmp_path: Path):
    AblationReport(report().ablation, {}).write(tmp_path)
    assert list(tmp_path.iterdir()) == []
