"""What docs/evaluation.md prints: every command parses, every snippet runs, every name exists."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from limrank_evals.loaders import multiple_choice
from limrank_evals.stats import paired
from limrank_evals.tasks import load_task, task_names
from limrank_plugins.cli import build_app, whole_command

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
RUN = "q1 Q0 a 1 2 x\nq1 Q0 b 2 1 x\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str):
    program, *arguments = shlex.split(command)
    assert program == "limrank"
    group = whole_command()
    for name in arguments[:2]:
        group = group.commands[name]  # type: ignore[attr-defined]
    group.make_context(command, arguments[2:])  # raises for an unknown option or a missing argument


def test_the_first_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("bm25.run", "reranked.run"):
        Path(name).write_text(RUN)
    Path("qrels.trec").write_text("q1 0 a 1\n")
    for command in (COMMANDS[0], next(c for c in COMMANDS if "compare" in c)):
        done = CliRunner().invoke(build_app(), shlex.split(command)[1:])
        assert done.exit_code == 0, done.output


def test_snippets_run(capsys: pytest.CaptureFixture[str]):
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "docs/evaluation.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "| mini | 20.00 |" in shown
    assert "bm25s (k1=0.9, b=0.4) WinTieLoss(won=0, tied=28, lost=0)" in shown


def test_every_benchmark_has_its_row_with_its_options():
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.*)$", PAGE, re.MULTILINE))
    for name in task_names():
        for option in load_task(name).options():
            written = option.name.replace("_", "-")
            assert f"--{written}" in rows[name] or f"--no-{written}" in rows[name]


def test_the_page_says_what_the_code_has():
    modules = [import_module(load_task(name).load.__module__) for name in task_names()]
    names = {name for module in (*modules, multiple_choice) for name in vars(module)}
    loads = {name for name in names if name.startswith("load_")}
    assert loads == set(re.findall(r"`(load_\w+)`", PAGE))
    assert f"up to {paired.EXACT} queries that differ, else {paired.RESAMPLES:,} drawn" in PAGE
