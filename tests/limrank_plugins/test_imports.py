"""Light to import; heavy things late; an absent extra is one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

import limrank_plugins
from limrank_plugins.errors import MissingExtra, require

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "llama_index",
    "haystack",
    "langchain_core",
    "pyserini",
    "openai",
)


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(' '.join(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import limrank_plugins",
        "from limrank_plugins import *",
        "import limrank_plugins.reranker, limrank_plugins.retrievers, limrank_plugins.samples",
        "import limrank_plugins.cli.commands",
        "import limrank_pipelines",
        "from limrank_plugins.recipes import *; [load_recipe(n) for n in recipe_names()]",
    ],
)
def test_nothing_heavy_is_imported(code: str):
    assert modules_after(code).isdisjoint(HEAVY)


def test_everything_public_is_there():
    for name in limrank_plugins.__all__:
        assert getattr(limrank_plugins, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        limrank_plugins.nothing  # noqa: B018


def test_an_absent_extra_is_one_sentence_with_the_command():
    with pytest.raises(
        MissingExtra, match=r"X needs no_such_module, .* pip install 'limrank\[mini\]'"
    ) as caught:
        require("no_such_module.deep", "mini", "X")
    assert isinstance(caught.value, ImportError)


def test_a_broken_dependency_keeps_its_own_message(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_outside.py").write_text("import missing_inside")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="missing_inside") as caught:
        require("broken_outside", "mini", "X")
    assert not isinstance(caught.value, MissingExtra)
