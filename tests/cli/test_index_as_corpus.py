"""The folder of an index as the corpus of every command that takes one; what finding nothing says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from limrank_plugins.cli import build_app
from limrank_plugins.errors import LimRankWarning

PRIOR = ("--recipe", "prior")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line in this process, beside a folder of texts and an index of it."""
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "place"
    (place / "my").mkdir(parents=True)
    (place / "my" / "a.txt").write_text("Acid curdles milk.")
    (place / "my" / "b.txt").write_text("The VPN needs a password.")
    (place / "q.tsv").write_text("q\tvpn password\n")
    monkeypatch.chdir(place)

    def command(*words: object, code: int = 0) -> Result:
        done = CliRunner().invoke(build_app(), [str(word) for word in words])
        assert done.exit_code == code, done.stderr
        return done

    command("index", "my", "-o", "idx")
    return command


def hits(done: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["hits"]
    return found


def test_it_is_searched_as_its_texts_are(run: Callable[..., Result]):
    texts = hits(run("search", "my", "vpn", *PRIOR, "--json"))
    done = run("search", "idx", "vpn", *PRIOR, "--json")
    assert hits(done) == texts
    assert texts[0]["id"] == "b.txt"
    assert "indexing" not in done.stderr
    assert hits(run("search", "idx", "vpn", *PRIOR, "--json", "--retriever", "bm25s")) == texts
    auto = run("search", "idx", "vpn", *PRIOR, "--json", "--language", "auto")
    assert "the index is in english" in auto.stderr


def test_other_commands_take_it_too(run: Callable[..., Result]):
    answer = json.loads(run("ask", "idx", "vpn", *PRIOR, "--json").stdout)
    assert [passage["id"] for passage in answer["passages"]] == ["b.txt"]
    asked = ("rerank", "-q", "q.tsv", *PRIOR, "-c", "idx")
    run(*asked, "-o", "first.trec")
    run(*asked, "--run", "first.trec", "-o", "second.trec")
    for name in ("first.trec", "second.trec"):
        assert Path(name).read_text().split()[:3] == ["q", "Q0", "b.txt"]
    run("bulk", "-q", "q.tsv", "-c", "idx", "--run", "first.trec", *PRIOR, "-o", "parts")
    assert json.loads(Path("parts/part-00000.jsonl").read_text())["hits"][0]["id"] == "b.txt"


def test_two_rerankers_are_compared_on_it(run: Callable[..., Result]):
    pytest.importorskip("ir_measures", reason="needs the extra evals")
    pytest.importorskip("torch", reason="needs the extra mini")
    run("eval", "ab", "--a", "prior", "--b", "mini", "-c", "idx", "--queries", "q.tsv", "-o", "ab")
    assert (Path("ab") / "a.jsonl").is_file()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("search", "idx", "vpn", "--retriever", "rank_bm25"), "is an index of bm25s, but the retriever is"),
        (
            ("search", "idx", "vpn", "--language", "german"),
            "holds words of english, but german was asked for",
        ),
        (("search", "idx", "vpn", "--field", "about"), "is an index, and its texts are as they were read"),
        (("ask", "idx", "vpn", "--passages", "whole"), "but the passages is 'whole'"),
        (("ask", "idx", "vpn", "--retriever", "bm25s+dense"), "is an index of one first stage, but"),
        (("index", "idx"), "is an index already: `limrank search` searches it"),
        (("index", "idx", "-o", "other"), "is an index already"),
        (("eval", "folder", "idx", "--no-rerank"), "is an index, without queries and judgements"),
    ],
)
def test_what_does_not_fit_it_is_refused(run: Callable[..., Result], words: tuple[str, ...], why: str):
    assert why in " ".join(run(*words, code=2).stderr.split())
    assert not Path("other").exists()


@pytest.mark.parametrize("command", ["search", "index"])
def test_help_says_what_the_folder_is_for(run: Callable[..., Result], command: str):
    shown = " ".join(run(command, "--help").stdout.replace("│", " ").split())
    assert "index -o" in shown or "With -o" in shown
    assert "without the texts" in shown


def test_a_search_that_finds_nothing_names_what_was_not_read(run: Callable[..., Result]):
    Path("my/products.csv").write_text("name,description\nknife,a knife that does not rust\n")
    for _ in range(2):
        with pytest.warns(LimRankWarning):
            done = run("search", "my", "knife", *PRIOR, "--language", "auto", code=0)
        said = " ".join(done.stderr.split())
        assert "what was not read may hold it: products.csv (perhaps --field description)" in said
        assert "or name the language of the texts (--language)" in said
    assert hits(run("search", "my", "knife", *PRIOR, "--json", "--field", "description"))[0]["id"] == (
        "products.csv#2"
    )


def test_index_prints_the_whole_note_again(run: Callable[..., Result]):
    for number in range(9):
        Path(f"my/{number}.doc").write_text("old")
    for _ in range(2):
        with pytest.warns(LimRankWarning) as notes:
            run("index", "my")
        assert str(notes[0].message).count("save it as .docx") == 9
