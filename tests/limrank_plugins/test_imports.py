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
    "opentelemetry",
    "fastapi",
    "uvicorn",
    "prometheus_client",
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
        "import limrank_plugins.server",
        "import limrank_pipelines",
        "from limrank_plugins.recipes import *; [load_recipe(n) for n in recipe_names()]",
    ],
)
def test_nothing_heavy_is_imported(code: str):
    assert modules_after(code).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        "import limrank_plugins.corpus, limrank_plugins.ranking_job",
        "import limrank_pipelines.rag, limrank_pipelines.bulk, limrank_pipelines.sizing",
        "import limrank_evals; [getattr(limrank_evals, name) for name in limrank_evals.__all__]",
        "from limrank_evals.tasks import *; [load_task(n).options() for n in task_names()]",
        "import limrank_evals.evaluation.evaluator, limrank_evals.questions.question_evaluation",
    ],
)
def test_no_evaluation_or_pipeline_loads_the_command_line(code: str):
    assert modules_after(code).isdisjoint({"typer", "rich", "click"})


ROOMS = ("limrank_plugins", "limrank_pipelines", "limrank_synth", "limrank_training", "limrank_evals")
PROGRAMS = (
    "limrank_plugins.__main__",
    *(f"limrank_training.{name}_command" for name in ("score", "train")),
    *(f"limrank_training.world.{name}" for name in ("proof", "reasoner")),
    *(f"limrank_pipelines.{name}_command" for name in ("ask", "bulk", "size")),
)
IMPORT_ALL = """
import builtins, importlib, pathlib, sys

wanted = builtins.__import__

def watched(name, globals=None, *others, **more):
    importer = (globals or {}).get("__name__", "")
    if name.split(".")[0] in ("typer", "rich", "click") and importer.startswith("limrank_"):
        print(importer, "imports", name)
    return wanted(name, globals, *others, **more)

builtins.__import__ = watched
imported = 0
for room in ROOMS:
    folder = pathlib.Path(importlib.import_module(room).__path__[0])
    for file in sorted(folder.rglob("*.py")):
        parts = (room, *file.relative_to(folder).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        if {"cli", "namespaces"} & set(parts) or name in PROGRAMS or "-" in name:
            continue
        try:
            importlib.import_module(name)
            imported += 1
        except ImportError as error:  # an extra that is not installed here
            if "pip install" not in str(error):
                raise
for name in sys.modules:
    if name.startswith(ROOMS) and "cli" in name.split("."):
        print(name, "is loaded")
assert imported > 300, imported
"""


def test_no_module_of_a_room_loads_the_command_line():
    program = f"ROOMS, PROGRAMS = {ROOMS!r}, {PROGRAMS!r}\n{IMPORT_ALL}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


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
