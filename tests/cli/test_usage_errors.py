"""What is wrong with a command line is told as text, and without the keys that stand on it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from limrank_command import run_limrank
from typer.testing import CliRunner

from limrank_plugins.cli import build_app
from limrank_plugins.secrecy import secrets_in

KEY = "sk-Zq9wertyuiop0987"
OWN = "a-key-of-no-known-form"


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch\x1b[2J\x9b2J"],
        ["eval", "nosuch\x1b]0;PWN\x07"],
        ["recipes", "\x1b]8;;http://evil.example/\x1b\\x"],
        ["search", "samples", "milk", "--k", "\x1b[31m7"],
        ["search", "samples", "milk", "--\x1b[31mk=7"],
    ],
)
def test_a_word_that_cannot_be_used_is_shown_as_text(words: list[str]):
    done = CliRunner().invoke(build_app(), words)
    assert done.exit_code == 2
    assert re.search(r"^(Error|limrank): ", done.stderr, re.MULTILINE)
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.output) is None


@pytest.mark.parametrize(
    "words",
    [
        ["rerank", "--api-key", KEY],
        ["rerank", "-q", "q", "-c", "c", "-o", "o", "--option", "api_key", KEY],
        ["rerank", "-q", "q", "-c", "c", "-o", "o", "--option", "api_key", OWN],
        ["rerank", "-q", "q", "-c", "c", "-o", "o", "--option", f"api_key:{OWN}"],
        ["recipes", f"api_key={OWN}"],
        ["recipes", f"http://me:{OWN}@host/v1"],
        ["recipes", KEY],
        [f"--api-key={OWN}"],
        [KEY],
    ],
)
def test_a_key_is_not_repeated(tmp_path: Path, words: list[str]):
    (tmp_path / "q").write_text('{"_id": "q", "text": "milk"}\n')
    more = ["--backend", "openai"] if words[0] == "rerank" else []
    done = run_limrank([*words, *more], cwd=tmp_path, env=os.environ | {"COLUMNS": "300"})
    assert done.returncode == 2
    assert done.stderr
    assert KEY not in done.stderr + done.stdout
    assert OWN not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_what_is_no_key_is_told():
    assert secrets_in([]) == set()
    words = ["rerank", "--option", "max_tokens=4096", "--keyword", "yesterday", "--token-pattern=words"]
    assert secrets_in([*words, "sketches", "what is the key to bread", "--api-key", "--json"]) == set()
    done = CliRunner().invoke(build_app(), ["recipes", "max_tokens=4096"])
    assert "max_tokens=4096" in done.stderr


@pytest.mark.parametrize(("words", "code"), [([], 2), (["--help"], 0), (["--version"], 0), (["eval"], 2)])
def test_help_and_version_are_as_before(words: list[str], code: int):
    done = CliRunner().invoke(build_app(), words)
    assert done.exit_code == code
    assert ("0." if words == ["--version"] else "Usage: ") in done.output
