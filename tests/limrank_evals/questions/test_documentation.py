"""What docs/questions.md prints: commands parse, the snippet runs, names and defaults are the code's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from quiz_reports import made

from limrank_evals.questions.questions_report import OUTPUTS, SCHEMA, report
from limrank_evals.questions.reader_templates import READER_TEMPLATES
from limrank_plugins.cli import whole_command

PAGE = (Path(__file__).parents[3] / "docs" / "questions.md").read_text("utf-8")
COMMANDS = re.findall(r"^limrank .*", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str):
    _, group, name, *arguments = shlex.split(command)
    evaluation = whole_command().commands[group]  # type: ignore[attr-defined]
    evaluation.commands[name].make_context(command, arguments)


def test_the_snippet_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/questions.md", "exec"), {})
    assert re.findall(r"^(\S+) 1\.0", capsys.readouterr().out, re.MULTILINE) == [
        "closed-book",
        "retrieve",
        "rerank",
    ]


def test_options_and_defaults_are_the_commands_own():
    evaluation = whole_command().commands["eval"]  # type: ignore[attr-defined]
    known = {
        name for one in ("gpqa", "questions") for p in evaluation.commands[one].params for name in p.opts
    }
    assert set(re.findall(r"(--[a-z][a-z-]+)", PAGE)) - {"--max-tokens"} <= known | {"--max-tokens"}
    defaults = {p.name: p.default for p in evaluation.commands["questions"].params}
    for option, default in (
        ("`--top-n`", str(defaults["top_n"])),
        ("`--retriever`, `--k`", f"`{defaults['retriever']}`, {defaults['k']}"),
        ("`--max-tokens`", f"{defaults['max_tokens']:,}"),
        ("`--reader-template`", f"`{defaults['reader_template']}`"),
        ("`--reader-samples`", str(defaults["reader_samples"])),
        ("`--batch`", str(defaults["batch"])),
    ):
        assert f"| {option} | {default} |" in PAGE
    for name in READER_TEMPLATES:
        assert f"`{name}`" in PAGE


def test_files_and_keys_are_named():
    for name in OUTPUTS:
        assert f"`{name}`" in PAGE
    told = json.loads(json.dumps(report(made())))
    for key in (*told, *told["conditions"]["rerank"], *told["differences"][0]):
        if key not in ("benchmark", "split"):
            assert f"`{key}`" in PAGE, key
    assert SCHEMA in PAGE
