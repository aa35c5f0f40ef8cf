"""What docs/ablations.md prints: every command parses, the file loads, the names are those of the code."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from limrank_evals.ablations import ablation_names, load_ablation
from limrank_evals.ablations.arms import _ArmSettings
from limrank_evals.ablations.components import _MOST, _PATTERNS, TRACES, check_component
from limrank_evals.ablations.pools import COLUMNS
from limrank_plugins.cli import whole_command
from limrank_training.plans import load_plan

PAGE = (Path(__file__).parents[3] / "docs" / "ablations.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str):
    program, *arguments = shlex.split(command)
    assert program == "limrank"
    group = whole_command()
    for name in arguments[:2]:
        group = group.commands[name]  # type: ignore[attr-defined]
    group.make_context(command, arguments[2:])


def test_the_file_is_an_ablation(tmp_path: Path):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(text)
    made = load_ablation(str(tmp_path / "mine.yaml"))
    assert [arm.name for arm in made.arms] == ["full", "10k", "no-daily-life", "no-traces", "direct", "again"]
    for arm in made.arms:
        load_plan(arm.plan or made.plan, {**made.changes, **arm.changes})
    assert made.evaluation is not None
    assert made.evaluation.depth == 100


def test_names_are_those_of_the_code():
    named = set(re.findall(r"`([\w-]+)`", PAGE))
    assert set(ablation_names()) <= named
    assert {*_PATTERNS, *_MOST, TRACES, *COLUMNS, *(field.name for field in fields(_ArmSettings))} <= named
    check_component(re.search(r"`(intent=\S+)`", PAGE)[1])
