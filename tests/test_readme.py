"""What the README prints runs as printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from limrank_command import run_limrank, run_python
from needs import needs_mini

from limrank_plugins.recipes import recipe_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
OWN_FILES = (ROOT / "docs" / "your-files.md").read_text(encoding="utf-8").partition("## Measure on them")[2]


def commands(page: str) -> list[str]:
    """Commands in blocks of a page, and those in the cells of its tables that name what they work on."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    cells = re.findall(r"^\|.*?`(limrank \w+ [^`]+)`", page, re.MULTILINE)
    return [line for line in blocks.splitlines() if line.startswith("limrank ")] + cells


COMMANDS = commands(README)
OWN_COMMANDS = commands(OWN_FILES.partition("\n## ")[0])

# What stands first in what is printed: by what the code or the command begins with.
FIRST = {
    "from limrank_plugins": "casein",
    "from llama_index": "Yeast eats sugar",
    "from haystack": "Yeast eats sugar",
    "limrank search samples": "Jet lag is worse when flying east",
    "limrank search mine": "Yeast",
    "limrank ask": "Jet lag is worse when flying east",
}

pytestmark = needs_mini


def first_line(printed: str, begins: str) -> None:
    """The right passage is the first of those that are printed."""
    expected = [text for beginning, text in FIRST.items() if begins.startswith(beginning)]
    lines = [line for line in printed.splitlines() if not line.startswith("rank ")]
    assert all(text in lines[0] for text in expected), printed


@pytest.mark.parametrize("code", PYTHON, ids=[code.split("\n")[0] for code in PYTHON])
def test_snippets(code: str, tmp_path: Path):
    for framework in ("llama_index", "haystack"):
        if f"from {framework}" in code:
            pytest.importorskip(framework)
    done = run_python(code, cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "a snippet that prints nothing shows nothing"
    first_line(done.stdout, code)


def test_commands(tmp_path: Path):
    (tmp_path / "limrank_plugins").symlink_to(ROOT / "limrank_plugins")
    write_own_files(tmp_path / "mine", second=False)
    assert len(COMMANDS) == 6, COMMANDS
    for command in COMMANDS + OWN_COMMANDS:
        done = run_limrank(shlex.split(command)[1:], cwd=tmp_path, env=os.environ)
        assert done.returncode == 0, (command, done.stderr)
        first_line(done.stdout, command)


def test_the_other_forms_of_own_files(tmp_path: Path):
    write_own_files(tmp_path / "mine", second=True)
    assert {file.name for file in (tmp_path / "mine").rglob("*.*")} == {
        "corpus.jsonl", "queries.tsv", "test.tsv",
    }  # fmt: skip
    assert [command.split()[1] for command in OWN_COMMANDS] == ["search", "eval"]
    for command in OWN_COMMANDS:
        done = run_limrank(shlex.split(command)[1:], cwd=tmp_path, env=os.environ)
        assert done.returncode == 0, (command, done.stderr)
        first_line(done.stdout, command)
    # One query whose one relevant document is the only one.
    report = json.loads((tmp_path / "measured" / "report.json").read_text("utf-8"))
    assert [split["queries"][0]["id"] for split in report["splits"]] == ["q1"]
    (line,) = (tmp_path / "measured" / "test" / "qrels.trec").read_text().splitlines()
    assert line.split() == ["q1", "0", "d1", "1"]


def test_a_folder_of_texts_is_a_corpus_as_said(tmp_path: Path):
    assert "a folder of yours, with texts" in README.replace("\n", " ")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "yeast.txt").write_text("Yeast makes bread rise.")
    (tmp_path / "mine" / "stone.md").write_text("# Stones\nThe moon is a stone.")
    done = run_limrank(shlex.split(OWN_COMMANDS[0])[1:], cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "yeast" in done.stdout.splitlines()[1]


def test_as_many_recipes_as_said():
    assert f"{len(recipe_names())} recipes" in README


def test_every_extra_is_described():
    extras = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    )
    rows = [row for row in (ROOT / "docs" / "install.md").read_text("utf-8").splitlines() if row[:3] == "| `"]
    described = {name for row in rows for name in re.findall("`([a-z0-9-]+)`", row.split("|")[1])}
    assert described == extras - {"dev", "docs"}  # those for work on this repository


def write_own_files(folder: Path, *, second: bool) -> None:
    """The files of "Your own files", from the lines its table shows; `second`: in the other form of each."""
    (folder / "qrels").mkdir(parents=True)
    section = OWN_FILES.partition("```sh")[0]
    rows = [row.split("|")[1:3] for row in section.splitlines() if row.startswith("| `")]
    assert len(rows) == 3
    for names, lines in rows:
        forms = re.findall("`(.+?)`", names)
        shown = [line.replace("⇥", "\t") for line in re.findall("`(.+?)`", lines)]
        header, shown = shown[len(forms) :], shown[: len(forms)]
        number = int(second and len(forms) > 1)
        below = header if number else []
        (folder / forms[number]).write_text("\n".join([*below, shown[number]]) + "\n", "utf-8")


def test_every_target_the_documents_name_exists():
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        named = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", document.read_text(encoding="utf-8")))
        code = set(re.findall(r"`make ([a-z]+(?:-[a-z]+)*)", document.read_text(encoding="utf-8")))
        assert code <= targets, (document.name, code - targets)
        assert named & {"demo", "test"} <= targets


def test_links_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), (document.name, link)
