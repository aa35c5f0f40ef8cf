"""`limrank demo --reasoning` on a tiny model that chats: it shows what the model wrote, and the verdict."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import chats
import pytest
from typer.testing import CliRunner

from limrank_plugins import Reranker, samples
from limrank_plugins.cli import build_app
from limrank_plugins.cli.search import show_ranking
from limrank_plugins.data import Document, Hit, Query, Ranking


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chats.build(tmp_path_factory.mktemp("models") / "talker")


def test_it_shows_what_is_written_and_the_verdict(talker: Path):
    command = ["demo", "--reasoning", "--queries", "1", "--model", str(talker)]
    shown = CliRunner().invoke(build_app(), command)
    assert shown.exit_code == 0, shown.output
    done = CliRunner().invoke(build_app(), [*command, "--json"])
    verdicts = json.loads(done.stdout)["verdicts"]
    assert [verdict["judged"] for verdict in verdicts] == ["direct", "indirect", "not"]
    documents = {document.id: document for document in samples.documents()}
    query = next(query for query in samples.queries() if query.id == verdicts[0]["query"])
    reranker = Reranker("limrank", str(talker), max_reasoning_tokens=100)
    for verdict in verdicts:
        hit = reranker.rank(query, [documents[verdict["document"]]])[0]
        assert (verdict["score"], verdict["reasoning"]) == (hit.score, hit.explanation)
        assert f"P(yes) = {hit.score:.3f}" in shown.stdout
        assert documents[verdict["document"]].title in shown.stdout
    # A random model comes to no end: it is said where it was ended, as it may be in the middle of a sentence.
    ended = [verdict["ended_by_force"] for verdict in verdicts]
    assert any(ended)
    assert shown.stdout.count("… (ended after 100 tokens)") == sum(ended)
    right = sum((verdict["score"] >= 0.5) == (verdict["judged"] != "not") for verdict in verdicts)
    assert f"{right} of 3 verdicts agree" in shown.stdout
    assert "is asked in a chat (template 'limrank-chat')" in shown.stderr
    # A random model writes any character: none that a terminal acts on is left.
    assert all(character.isprintable() or character in "\n\t" for character in shown.stdout)


def test_what_such_verdicts_are_worth_is_said_of_every_model_that_was_not_trained_for_them(
    talker: Path, tmp_path: Path
):
    def said(model: object) -> str:
        command = ["demo", "--reasoning", "--queries", "1", "--model", str(model)]
        done = CliRunner().invoke(build_app(), command)
        assert done.exit_code == 0, done.output
        return " ".join(done.stdout.split())

    untrained = said(talker)
    assert f"Nothing says that {talker} was trained for this." in untrained
    assert f"limrank eval zoo samples --model {talker}" in untrained
    named = said(shutil.copytree(talker, tmp_path / "SmolLM2-135M-Instruct"))
    assert "SmolLM2-135M-Instruct is fifty times smaller than LIMRANK-7B" in named
    trained = said(shutil.copytree(talker, tmp_path / "limrank"))
    assert "LIMRANK-7B" not in trained
    assert "trained for this" not in trained


@pytest.mark.parametrize("recipe", ["mini", "graded", "rankgpt", "retro"])
def test_other_recipes_are_refused(recipe: str):
    done = CliRunner().invoke(build_app(), ["demo", "--reasoning", "--recipe", recipe])
    assert done.exit_code == 2
    assert f"not {recipe!r}" in done.stderr


def test_the_end_of_a_long_reasoning_is_shown_as_an_end(capsys: pytest.CaptureFixture[str]):
    words = " ".join(f"word{i}" for i in range(100))
    hit = Hit("a", Document("x", id="a"), index=0, rank=1, score=0.5, explanation=words)
    show_ranking(Ranking(Query("q"), (hit,), "limrank", "probability", True))
    shown = " ".join(capsys.readouterr().out.split())
    assert "reasoning: … word" in shown
    assert shown.endswith("word98 word99 …")
    short = dataclasses.replace(hit, explanation="It says why.")
    show_ranking(Ranking(Query("q"), (short,), "limrank", "probability", True))
    assert capsys.readouterr().out.rstrip().endswith("reasoning: It says why.")
