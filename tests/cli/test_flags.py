"""On the command line, arguments are called as its options are, and what is wrong is said before any work."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from limrank_plugins.cli import build_app
from limrank_plugins.cli.flags import in_flags


def said(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(build_app(), list(words))
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("python", "flags"),
    [
        ("would read with template='limrank'", "would read with --template limrank"),
        ("samples=2 needs reasoning='full'", "--samples 2 needs --reasoning full"),
        ("give instruction='two words'", "give --instruction 'two words'"),
        ("give trust_remote_code=True.", "give --option trust_remote_code=True."),
        ("Reranker('limrank', model='a/b')", "--recipe limrank --model a/b"),
        ("sha256=12 and other=1 stay", "sha256=12 and other=1 stay"),
    ],
)
def test_arguments_are_written_as_options(python: str, flags: str):
    assert in_flags(python) == flags


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "smollm2"], "recipe 'mini' needs an encoder, but model 'smollm2' is a language model"),
        (["--recipe", "a/b"], "a model goes into --model, as in --recipe limrank --model a/b"),
        (["--retriever", "bm26", "--recipe", "prior"], "there is no retriever 'bm26'; did you mean bm25s"),
    ],
)
def test_what_there_is_not_is_said_before_a_corpus_is_indexed(words: list[str], message: str):
    code, stderr = said("search", "samples", "bread", *words)
    assert (code, len(stderr.splitlines())) == (2, 1)
    assert message in stderr


def test_a_model_that_is_not_here_is_told_in_options():
    code, stderr = said("search", "samples", "bread", "--recipe", "limrank")
    assert code == 1
    assert "(--backend openai, --option base_url=http://…/v1), or try the recipe on --model smollm2" in stderr


def test_the_prompt_that_is_not_used_is_named_by_its_option(smollm2: str):
    words = ("--recipe", "limrank", "--model", smollm2, "--reasoning", "none", "--k", "1")
    code, stderr = said("search", "samples", "why does bread rise", *words)
    assert (code, "which it would read with --template limrank" in stderr) == (0, True)
    code, stderr = said("prompt", "show", "limrank", "--model", smollm2)
    assert (code, "which it would read with --template limrank" in stderr) == (0, True)


def test_recipes_that_are_named_are_described_alone():
    done = CliRunner().invoke(build_app(), ["recipes", "qlm", "mini:pieces=first", "--json"])
    assert [entry["name"] for entry in json.loads(done.stdout)] == ["qlm", "mini:pieces=first"]
    shown = CliRunner().invoke(build_app(), ["recipes", "qlm"])
    assert (shown.exit_code, shown.stdout.split()[0], "monot5" in shown.stdout) == (0, "qlm", False)
    assert "monot5" in CliRunner().invoke(build_app(), ["recipes"]).stdout
    assert said("recipes", "qlm", "qml") == (2, "limrank: there is no recipe 'qml'; did you mean qlm?\n")
