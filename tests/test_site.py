"""The site: every page is in its navigation, nothing comes from another host, commands and tables are right.

`make docs` builds it, runs its notebooks and checks its links; the tests marked `docs` run the tutorials.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from limrank_command import run_limrank
from needs import needs_mini
from typer.testing import CliRunner

from limrank_plugins import samples
from limrank_plugins.cli import build_app, whole_command

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS / "site"))
from assets import foreign_assets  # noqa: E402
from recipe_table import recipe_table, table_of  # noqa: E402

TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
RECIPES = (DOCS / "recipes.md").read_text("utf-8")


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    return [(language, text) for language, text in found if language in languages]


def cells(notebook: Path, kind: str) -> list[str]:
    return ["".join(c["source"]) for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == kind]


# ---- what is fetched --------------------------------------------------------------------------------


@pytest.mark.parametrize("html", [
    '<script src="https://cdn.example/x.js"></script>',
    '<script src=//cdn.example/x.js></script>',
    '<link rel="stylesheet" href="https://fonts.example/css">',
    '<link rel="preconnect" href="https://fonts.example">',
    '<img src="HTTP://example/x.png">',
    '<img srcset="x.png 1x, https://example/y.png 2x">',
    '<iframe src="https://example"></iframe>',
    '<style>body { background: url("https://example/x.png") }</style>',
    "<style>@import 'https://example/x.css';</style>",
    '<p style="background: url(//example/x.png)">',
    '<pre class="mermaid">graph</pre>',
])  # fmt: skip
def test_what_a_page_fetches_from_another_host_is_found(html: str):
    assert len(foreign_assets(f"<html><p>before</p>{html}</html>")) == 1


def test_links_that_are_followed_by_a_click_fetch_nothing():
    page = """<link rel="canonical" href="https://example/page"><link rel="stylesheet" href="assets/x.css">
      <a href="https://example">there</a><img src="x.png" alt="https://example/x.png">
      <script src="x.js"></script>
      <p>url(https://example/x.png)</p><style>p { background: url(x.png) }</style>"""
    assert foreign_assets(page) == []


# ---- what there is ----------------------------------------------------------------------------------


def navigation() -> set[str]:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!ENV", lambda loader, node: loader.construct_sequence(node)[-1])
    settings = yaml.load((DOCS / "site" / "mkdocs.yml").read_text("utf-8"), Loader)
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True

    def places(entry: Any) -> set[str]:
        if isinstance(entry, str):
            return {entry}
        return set().union(*map(places, entry.values() if isinstance(entry, dict) else entry))

    return places(settings["nav"])


def test_every_page_is_in_the_navigation():
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    pages |= {page.relative_to(DOCS).with_suffix(".md").as_posix() for page in NOTEBOOKS}
    assert pages <= navigation()


def test_the_rest_of_the_navigation_is_made():
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    rest = {place.partition("/")[0] for place in navigation() - written}
    assert rest == {"index.md", "notebooks", "project", "reference"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_what_they_print(notebook: Path):
    book = json.loads(notebook.read_text("utf-8"))
    assert cells(notebook, "markdown")[0].startswith("# ")
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_there_are_tutorials_and_notebooks():
    assert [page.stem for page in TUTORIALS] == ["laptop", "rag", "research"]
    assert len(NOTEBOOKS) == 5


COMMANDS = [
    line
    for page in TUTORIALS
    for _, text in blocks(page, "sh")
    for line in text.splitlines()
    if line.startswith("limrank ")
] + [
    line.removeprefix("!")
    for notebook in NOTEBOOKS
    for code in cells(notebook, "code")
    for line in code.splitlines()
    if line.startswith("!limrank ")
]


def test_commands_have_the_options_that_are_named():
    whole = whole_command()
    assert len(COMMANDS) >= 15
    for command in COMMANDS:
        _, *words = shlex.split(
            command.partition(" 2>&1")[0].replace("{changes}", "").replace("{qrels}", "q")
        )
        group = whole
        while words and words[0] in getattr(group, "commands", ()):
            group = group.commands[words.pop(0)]
        group.make_context(command, words)  # raises for an unknown option or a missing argument


# ---- recipes ----------------------------------------------------------------------------------------


def described_recipes() -> list[dict[str, Any]]:
    return json.loads(CliRunner().invoke(build_app(), ["recipes", "--json"]).stdout)


def test_the_table_of_recipes_is_what_the_command_prints():
    assert table_of(RECIPES) == recipe_table(described_recipes()), (
        "limrank recipes --json | python docs/site/recipe_table.py"
    )


def test_what_is_said_to_be_comparable_is():
    rows = {
        row["name"]: row for row in json.loads(CliRunner().invoke(build_app(), ["recipes", "--json"]).stdout)
    }
    section = RECIPES.partition("## One document at a time")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(lines) >= 14
    for line in lines:
        name, score = line.split("`")[1], line.strip("| ").split(" | ")[-1]
        assert rows[name]["comparable"] == ("not comparable" not in score), name


# ---- the tutorials, by `make docs` ------------------------------------------------------------------


@pytest.mark.docs
@needs_mini
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_as_printed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "queries.jsonl").write_bytes(samples.corpus_path().with_name("queries.jsonl").read_bytes())
    names: dict[str, object] = {}
    printed = ""
    for language, text in blocks(page, "sh", "python", "text"):
        if language == "text":
            assert printed == text
        elif language == "python":
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream):
                exec(compile(text, str(page), "exec"), names)
            printed = stream.getvalue()
        else:
            for line in text.splitlines():
                run_line(line, tmp_path)


def run_line(line: str, folder: Path) -> None:
    if not line.startswith("limrank "):
        subprocess.run(line, shell=True, cwd=folder, check=True)
        return
    done = run_limrank(shlex.split(line)[1:], cwd=folder, env=os.environ)
    assert done.returncode == 0, (line, done.stderr)
    shown = done.stdout.splitlines()
    if "bread dough rise" in line and "--queries" not in line:
        assert any("yeast" in text.lower() for text in shown[:3]), (line, done.stdout)
