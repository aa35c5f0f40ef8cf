"""What the README prints runs as printed."""

from __future__ import annotations

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
    "limrank search": "Jet lag is worse when flying east",
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
    for command in COMMANDS:  # in their order: one reads what another wrote
        done = run_limrank(shlex.split(command)[1:], cwd=tmp_path, env=os.environ)
        assert done.returncode == 0, (command, done.stderr)
        first_line(done.stdout, command)


def test_every_target_the_documents_name_exists():
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        named = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", document.read_text(encoding="utf-8")))
        code = set(re.findall(r"`make ([a-z]+(?:-[a-z]+)*)", document.read_text(encoding="utf-8")))
        assert code <= targets, (document.name, code - targets)
        assert named & {"demo", "test"} <= targets


def test_links_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), (document.name, link)
