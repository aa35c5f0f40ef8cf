"""`limrank expand`, then `limrank rerank --recipe tildev2`: end to end with a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from tiny_encoders import TEXTS, tilde, tildev2
from typer.testing import CliRunner

from limrank_plugins.cli.commands import register

run = CliRunner().invoke


def app() -> typer.Typer:
    """The ground floor's subcommands alone."""
    made = typer.Typer(pretty_exceptions_enable=False)
    register(made)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    rows = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(TEXTS) if text]
    (home / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    queries = [
        {"_id": "q1", "text": "why does milk curdle"},
        {"_id": "q2", "text": "iron rusts in moist air"},
    ]
    (home / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    tildev2(home / "tildev2")
    tilde(home / "tilde")
    return home


def expand(home: Path, output: Path, *more: str) -> object:
    model = ["--model", str(home / "tildev2"), "--device", "cpu"]
    return run(app(), ["expand", str(home / "corpus.jsonl"), "-o", str(output), *model, *more])


def test_from_a_corpus_to_a_run(home: Path, tmp_path: Path) -> None:
    done = expand(home, tmp_path / "index", "--expansion", str(home / "tilde"), "--bits", "8", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["documents"], report["passages"], report["cut"]) == (7, 7, 0)
    out = tmp_path / "run.jsonl"
    arguments = [
        "rerank",
        "-q",
        str(home / "queries.jsonl"),
        "-c",
        str(home / "corpus.jsonl"),
        "-o",
        str(out),
    ]
    arguments += [
        "--recipe",
        "tildev2",
        "--option",
        f"index={tmp_path / 'index'}",
        "--model",
        "no/such-model",
    ]
    done = run(app(), [*arguments, "--store", str(tmp_path / "store.sqlite"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["failures"] == 0
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["query_id"] for record in records] == ["q1", "q2"]
    for record in records:
        scores = [hit["score"] for hit in record["hits"]]
        assert scores == sorted(scores, reverse=True)
        assert record["score_kind"] == "similarity"


def test_what_cannot_be_is_said_before_the_work(home: Path, tmp_path: Path) -> None:
    done = expand(home, tmp_path / "index", "--bits", "4")
    assert done.exit_code == 2
    assert "bits must be 8, 16 or None" in done.output
    (tmp_path / "there").mkdir()
    done = expand(home, tmp_path / "there")
    assert "is there already: remove it, or choose another folder" in done.output
    assert (
        "--batch-size must be a whole number >= 1, but got 0"
        in expand(home, tmp_path / "index", "--batch-size", "0").output
    )
    (tmp_path / "empty.jsonl").write_text("")
    done = run(app(), ["expand", str(tmp_path / "empty.jsonl"), "-o", str(tmp_path / "index")])
    assert "is empty" in done.output
    assert not (tmp_path / "index").exists()


def test_for_people_it_says_how_to_use_it(home: Path, tmp_path: Path) -> None:
    done = expand(home, tmp_path / "index")
    assert done.exit_code == 0, done.output
    assert "7 passages with" in done.output
    assert f"--option index={tmp_path / 'index'}" in done.output.replace("\n", "")
