"""`limrank demo --reasoning` on a tiny model that chats: it shows what the model wrote, and the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import chats
import pytest
from typer.testing import CliRunner

from limrank_plugins import Reranker, samples
from limrank_plugins.cli import build_app


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
        assert f"P(true) = {hit.score:.3f}" in shown.stdout
        assert documents[verdict["document"]].title in shown.stdout
    right = sum((verdict["score"] >= 0.5) == (verdict["judged"] != "not") for verdict in verdicts)
    assert f"{right} of 3 verdicts agree" in shown.stdout
    assert "prompt: template 'limrank-chat'" in shown.stderr
    # A random model writes any character: none that a terminal acts on is left.
    assert all(character.isprintable() or character in "\n\t" for character in shown.stdout)


@pytest.mark.parametrize("recipe", ["mini", "graded", "rankgpt", "retro"])
def test_other_recipes_are_refused(recipe: str):
    done = CliRunner().invoke(build_app(), ["demo", "--reasoning", "--recipe", recipe])
    assert done.exit_code == 2
    assert f"not {recipe!r}" in done.stderr
