"""What the README prints runs as printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from limrank_command import run_limrank
from needs import needs_mini

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("limrank ")
]

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
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "a snippet that prints nothing shows nothing"
    first_line(done.stdout, code)


def test_commands(tmp_path: Path):
    (tmp_path / "limrank_plugins").symlink_to(ROOT / "limrank_plugins")
    write_own_files(tmp_path / "mine", second=False)
    for command in COMMANDS:  # in their order: one reads what another wrote
        done = run_limrank(shlex.split(command)[1:], cwd=tmp_path, env=os.environ)
        assert done.returncode == 0, (command, done.stderr)
        first_line(done.stdout, command)


def test_the_other_forms_of_own_files(tmp_path: Path):
    write_own_files(tmp_path / "mine", second=True)
    assert {file.name for file in (tmp_path / "mine").rglob("*.*")} == {
        "corpus.jsonl", "queries.tsv", "test.tsv",
    }  # fmt: skip
    commands = [command for command in COMMANDS if " mine" in command]
    assert [command.split()[1] for command in commands] == ["search", "eval"]
    for command in commands:
        done = run_limrank(shlex.split(command)[1:], cwd=tmp_path, env=os.environ)
        assert done.returncode == 0, (command, done.stderr)
        first_line(done.stdout, command)
    # One query whose one relevant document is the only one.
    report = json.loads((tmp_path / "measured" / "report.json").read_text("utf-8"))
    assert [split["queries"][0]["id"] for split in report["splits"]] == ["q1"]
    (line,) = (tmp_path / "measured" / "test" / "qrels.trec").read_text().splitlines()
    assert line.split() == ["q1", "0", "d1", "1"]


def test_a_folder_of_texts_is_a_corpus_as_said(tmp_path: Path):
    assert "folder of `.txt` and `.md` files is a corpus" in README
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "yeast.txt").write_text("Yeast makes bread rise.")
    (tmp_path / "mine" / "stone.md").write_text("# Stones\nThe moon is a stone.")
    command = next(command for command in COMMANDS if command.startswith("limrank search mine"))
    done = run_limrank(shlex.split(command)[1:], cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "yeast" in done.stdout.splitlines()[1]


def write_own_files(folder: Path, *, second: bool) -> None:
    """The files of "Your own files", from the lines its table shows; `second`: in the other form of each."""
    (folder / "qrels").mkdir(parents=True)
    section = README.partition("### Your own files")[2].partition("```sh")[0]
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
