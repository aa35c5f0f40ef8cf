"""The snippets of `docs/pipelines.md` and `docs/sizing.md` run as printed, and print what is shown."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from needs import needs_mini
from typer.testing import CliRunner

from limrank_plugins.cli import build_app

DOCS = Path(__file__).parents[2] / "docs"


def run_snippets(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(folder)
    page = (DOCS / name).read_text(encoding="utf-8")
    blocks = [
        b for b in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.M | re.S) if b[0] in ("python", "text")
    ]
    assert [language for language, _ in blocks] == ["python", "text"] * (len(blocks) // 2)
    names: dict[str, object] = {}
    for (_, code), (_, shown) in zip(blocks[::2], blocks[1::2], strict=True):
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            exec(compile(code, name, "exec"), names)
        assert stream.getvalue() == shown, code
    return len(blocks) // 2


@needs_mini
def test_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, extra in (
        ("llama_index.core", "llama-index"),
        ("haystack", "haystack"),
        ("openai", "openai"),
    ):
        pytest.importorskip(module, reason=f"needs pip install 'limrank[{extra}]'")
    assert run_snippets("pipelines.md", tmp_path, monkeypatch) == 5


def test_sizing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_snippets("sizing.md", tmp_path, monkeypatch) == 3


@pytest.mark.parametrize("page", ["pipelines.md", "sizing.md"])
def test_the_commands_have_the_options_that_are_named(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8").replace("\\\n", " ")
    shown = [line for b in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S) for line in b.splitlines()]
    commands = [line for line in shown if line.startswith("limrank ")]
    assert commands
    for command in commands:
        words = shlex.split(command)
        known = CliRunner().invoke(build_app(), [words[1], "--help"], env={"COLUMNS": "300"}).stdout
        for option in [word for word in words if word.startswith("-") and word != "-o"]:
            assert option in known, (command, option)


def test_the_command_that_sizes_prints_the_table_of_the_page() -> None:
    text = (DOCS / "sizing.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (command,) = [line for line in text.splitlines() if line.startswith("limrank size")]
    assert CliRunner().invoke(build_app(), shlex.split(command)[1:]).stdout in text
