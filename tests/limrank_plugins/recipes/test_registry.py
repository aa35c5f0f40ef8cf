"""Recipes by name, and recipes of other packages."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from needs import needs_mini
from scripts import full_backend

from limrank_plugins import Recipe, Reranker, load_recipe, recipe_names
from limrank_plugins.errors import InputError

DOCS = Path(__file__).parents[3] / "docs" / "recipes.md"


def test_our_recipes():
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.paper
        assert recipe.licence
    with pytest.raises(InputError, match=r"no recipe 'magic'.*limrank"):
        load_recipe("magic")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_recipe_of_another_package_as_the_docs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    code = blocks("python")[0]
    wording, entry = blocks("toml")
    (tmp_path / "strict.toml").write_text(wording)
    (package / "strict.py").write_text(code.replace("/path/to/strict.toml", str(tmp_path / "strict.toml")))
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    group, line = re.search(r'entry-points\."(.+?)"\]\n(.+)', entry).groups()
    (info / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert "strict" in recipe_names()
        backend = full_backend()
        ranking = Reranker("strict", backend=backend).rank("why", ["a", "b"])
        assert ranking.recipe == "strict"
        assert backend.requests[0].prompt.text.startswith("Does this passage answer the query directly?")
    finally:
        for module in [m for m in sys.modules if m.startswith("my_package")]:
            del sys.modules[module]


def test_an_entry_point_that_is_no_recipe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[limrank.recipes]\nwrong = json:dumps\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="'wrong' is a function, not a Recipe"):
        load_recipe("wrong")


def test_a_recipe_as_an_object():
    recipe = load_recipe("rank1")
    assert isinstance(recipe, Recipe)
    assert Reranker(recipe, backend=full_backend()).rank("q", ["a"]).recipe == "rank1"


@pytest.mark.parametrize(
    "number", [1, 2, pytest.param(3, marks=needs_mini), 4], ids=["scripted", "each", "many", "combined"]
)
def test_the_docs_examples_run(number: int):
    exec(compile(blocks("python")[number], "docs/recipes.md", "exec"), {})


def test_the_docs_name_every_recipe_and_every_option():
    text = DOCS.read_text("utf-8")
    for name in recipe_names():
        assert f"`{name}`" in text, name
        made = getattr(import_module(f"limrank_plugins.recipes.{name.replace('-', '_')}"), "recipe", None)
        for option in inspect.signature(made).parameters if made is not None else ():
            assert f"`{option}=" in text or f"`{option}`" in text, (name, option)
