"""What is listed, offered and said before any command is imported; and a cache that cannot be written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from limrank_command import limrank
from typer.testing import CliRunner

from limrank_plugins.cli import build_app, whole_command
from limrank_plugins.cli.later import LaterCommand
from limrank_plugins.prices import VARIABLE

LISTED = """
import sys
from limrank_plugins.cli import main
sys.argv = ["limrank", "--help"]
try:
    main()
finally:
    print(*sorted(name for name in sys.modules if name.startswith("limrank_")), file=sys.stderr)
    print(*{"numpy", "jinja2", "bm25s", "pydantic"} & set(sys.modules), file=sys.stderr)
"""


def test_the_list_of_commands_imports_none_of_them():
    done = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True)
    ours, others = done.stderr.splitlines()
    assert others == ""
    assert len(ours.split()) < 25, ours  # a few hundred modules with the commands
    for name in whole_command().commands:
        assert f"\n  {name} " in done.stdout


def test_every_summary_is_the_commands_own():
    listed = typer.main.get_command(build_app()).commands
    assert all(isinstance(command, LaterCommand) for command in listed.values())
    for name, command in whole_command().commands.items():
        assert listed[name].get_short_help_str(500) == command.get_short_help_str(500), name


def test_a_command_that_is_alone_in_a_program_runs():
    from limrank_pipelines.cli import register

    app = typer.Typer()
    register(app)
    (size,) = [info for info in app.registered_commands if info.name == "size"]
    app.registered_commands = [size]
    assert CliRunner().invoke(app, ["--help"]).stdout.count("pairs") > 1


@pytest.mark.parametrize(("words", "offered"), [
    ("limrank se", {"search", "serve"}),
    ("limrank eval b", {"beir", "bright"}),
    ("limrank train --dr", {"--dry-run"}),
    ("limrank rerank --recipe reas", {"reasonrank"}),
    ("limrank index samples --retriever bm", {"bm25s", "bm25q"}),
    ("limrank rerank --template limrank-c", {"limrank-chat"}),
])  # fmt: skip
def test_a_shell_is_offered_what_can_follow(words: str, offered: set[str]):
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = CliRunner().invoke(
        build_app(), [], env=asked | {"_LIMRANK_COMPLETE": "complete_bash"}, prog_name="limrank"
    )
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(shell: str):
    asked = {"_LIMRANK_COMPLETE": f"source_{shell}"}
    done = CliRunner().invoke(build_app(), [], env=asked, prog_name="limrank")
    assert f"_LIMRANK_COMPLETE=complete_{shell}" in done.stdout


@pytest.mark.parametrize("command", [
    ("search", "samples", "why does bread rise"),
    ("index", "samples"),
    ("rerank", "--queries", "queries.jsonl", "--corpus", "samples", "-o", "run.trec"),
])  # fmt: skip
def test_a_cache_that_cannot_be_written_is_one_sentence(command: tuple[str, ...], tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "why does bread rise"}\n')
    cache = tmp_path / "file"
    done = limrank(tmp_path, *command, code=2, LIMRANK_CACHE=str(cache))
    assert done.stderr.splitlines()[-1] == (
        f"limrank: the cache {cache}, where indexes and answers are kept, cannot be written: it is no "
        f"folder; set LIMRANK_CACHE to a folder that can"
    )
    assert not (tmp_path / "run.trec").exists()


def test_the_doctor_names_the_cure(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = limrank(tmp_path, "doctor", code=1, LIMRANK_CACHE=str(tmp_path / "file" / "below"))
    assert "fix: set LIMRANK_CACHE to a folder that can" in done.stdout


def test_the_page_of_the_command_line_says_what_there_is():
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
    assert set(re.findall(r"source_(\w+) limrank", page)) == {"bash", "zsh", "fish"}
    root = {name for parameter in whole_command().params for name in parameter.opts}
    assert {"--install-completion", "--show-completion"} <= set(re.findall(r"--[\w-]+", page)) & root
    assert set(re.findall(r"^\| `(LIMRANK_\w+)`", page, re.MULTILINE)) == {VARIABLE, "LIMRANK_CACHE"}
