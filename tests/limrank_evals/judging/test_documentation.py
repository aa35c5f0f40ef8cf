"""What docs/judging.md prints: commands parse, the snippet runs, names and defaults are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from limrank_evals.ab.ab_report import SCHEMA as AB_SCHEMA
from limrank_evals.judging.judging_report import OUTPUTS, SCHEMA
from limrank_evals.judging.relevance_judge import HIGHEST
from limrank_plugins.cli import whole_command

PAGE = (Path(__file__).parents[3] / "docs" / "judging.md").read_text("utf-8")
COMMANDS = re.findall(r"^limrank .*", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str):
    _, group, name, *arguments = shlex.split(command)
    evaluation = whole_command().commands[group]  # type: ignore[attr-defined]
    evaluation.commands[name].make_context(command, arguments)


def test_the_snippet_runs(capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/judging.md", "exec"), {})
    assert capsys.readouterr().out.startswith("((0, 0, ")


def test_names_and_defaults_are_the_codes():
    commands = whole_command().commands["eval"].commands  # type: ignore[attr-defined]
    known = {name for one in ("judge", "ab", "folder") for p in commands[one].params for name in p.opts}
    assert set(re.findall(r"(--[a-z][a-z-]+)", PAGE)) <= known | {"--named"}
    defaults = {p.name: p.default for p in commands["judge"].params}
    assert (defaults["depth"], defaults["human_relevant"], defaults["relevant"]) == (10, 1, 2)
    assert all(f"`{name}`" in PAGE for name in OUTPUTS)
    assert SCHEMA in PAGE
    assert AB_SCHEMA in PAGE
    assert re.findall(r"^\| ([0-9]) \|", PAGE, re.MULTILINE) == [str(grade) for grade in range(HIGHEST + 1)]
