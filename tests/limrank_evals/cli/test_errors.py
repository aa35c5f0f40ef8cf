"""`limrank eval errors`: a run told what queries want against one that was not, its JSON, its tables."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from error_lists import DIRECT, OUTDATED, SUPPORTING, UNTRUE
from scripts import full_backend
from typer.testing import CliRunner, Result

from limrank_evals.errors.relevant_counts import DEFAULT_BINS
from limrank_plugins import Document, Reranker
from limrank_plugins.cli import build_app, whole_command
from limrank_plugins.data import Query
from limrank_plugins.io import ranking_record, write_run

PAGE = (Path(__file__).parents[3] / "docs" / "errors.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
PASSAGES = {"d": (DIRECT, 2), "i": (SUPPORTING, 1), "n": (OUTDATED, 0), "u": (UNTRUE, 0)}
QUERIES = [f"q{number}" for number in range(6)]


def limrank(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(build_app(), ["eval", "errors", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def judge(prompt: Any) -> tuple[float, float]:
    """A model that takes indirect passages for direct ones, unless it is told what the query wants."""
    passage = prompt.text.rpartition("\nPassage: ")[2]
    told = "only if it answers this itself" in prompt.text
    score = {"d": 3.0, "i": -1.0 if told else 3.0, "n": -3.0, "u": -3.0}[passage[0]]
    return score, 0.0


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both runs, judgements, kinds and a first stage, named as in the documentation."""
    monkeypatch.chdir(tmp_path)
    # In the first stage the indirect passage stands first: so it does where scores are equal.
    documents = [Document(f"{name} passage", id=name) for name in "iund"]
    for name, recipe in (("either", "limrank"), ("direct", "limrank:intent=direct")):
        reranker = Reranker(recipe, backend=full_backend(read_labels=judge), reasoning="none")
        records = [ranking_record(reranker.rank(Query("why", id=query), documents)) for query in QUERIES]
        write_run(tmp_path / f"{name}.jsonl", records)
        write_run(tmp_path / f"{name}.run", records)
    put(tmp_path / "qrels.txt", (f"{q} 0 {d} {grade}" for q in QUERIES for d, (_, grade) in PASSAGES.items()))
    put(tmp_path / "kinds.txt", (f"{q} {d} {kind}" for q in QUERIES for d, (kind, _) in PASSAGES.items()))
    put(
        tmp_path / "bm25.run", (f"{q} Q0 {d} {r} {9 - r} x" for q in QUERIES for r, d in enumerate("iund", 1))
    )
    return tmp_path


def put(path: Path, lines: Iterator[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines))


def test_the_paper_s_confusion_is_found_and_its_cure_measured(files: Path):
    given = ("-q", "qrels.txt", "--kinds", "kinds.txt", "--first-stage", "bm25.run", "--json")
    before = json.loads(limrank("either.jsonl", *given).stdout)
    sorts = {(one["worse"], one["better"]): one for one in before["confusion"]["sorts"]}
    one = sorts["indirect", "direct"]
    assert (one["rate"]["mean"], one["tied"], one["gap"]["mean"]) == (1.0, 6, 0.0)
    assert sorts["negative", "relevant"]["rate"]["mean"] == 0
    done = limrank("direct.jsonl", "--against", "either.jsonl", *given)
    after = json.loads(done.stdout)
    assert after["confusion"]["sorts"][0]["rate"]["mean"] == 0.0
    compared = after["against"]["confusion"][0]
    assert (compared["worse"], compared["first"], compared["second"]) == ("indirect", 1.0, 0.0)
    assert compared["p"]["randomisation"] == pytest.approx(2 / 2**6)
    assert compared["queries"]["less_confused"] == 6
    assert after["against"]["measure"]["difference"] > 0
    assert after["budget"]["lost_by_ordering"]["mean"] == pytest.approx(0)
    assert before["ties"]["saturated"] == {"low": 0, "high": 0, "relevant_low": 0, "others_high": 0}
    assert after["settings"]["against"] == "either.jsonl"
    assert after["warnings"] == []
    assert not done.stderr


def test_the_page_names_every_key(files: Path):
    options = (
        "-q qrels.txt --kinds kinds.txt --first-stage bm25.run --against either.jsonl --explanations --json"
    )
    found = json.loads(limrank("direct.jsonl", *options.split()).stdout)
    assert found["schema"] in PAGE
    named = set(re.findall(r"`(\w+)`", PAGE)) | {"mean", "interval", "cases", "schema"}
    compare = {"regressions", "left_out", "both"}

    def keys(value: Any) -> Iterator[str]:
        for inner in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            yield from keys(inner)
        yield from value if isinstance(value, dict) else ()

    told = set(keys({k: v for k, v in found.items() if k not in ("settings", "counts")}))
    assert told - named - compare == set()
    assert set(found) <= named


def test_a_trec_run_says_less_and_the_same_where_it_speaks(files: Path):
    given = ("-q", "qrels.txt", "--kinds", "kinds.txt", "--json")
    full, trec = (json.loads(limrank(f"either.{end}", *given).stdout) for end in ("jsonl", "run"))
    assert (trec["ties"], trec["mishaps"]) == (None, None)
    assert (trec["failing"], trec["by_relevant"]) == (full["failing"], full["by_relevant"])
    for one, other in zip(trec["confusion"]["sorts"], full["confusion"]["sorts"], strict=True):
        assert (one["rate"], one["tied"], one["gap"]) == (other["rate"], None, None)


def test_grades_as_kinds_and_wishes(files: Path):
    given = ("-q", "qrels.txt", "--direct-grade", 2, "--json")
    found = json.loads(limrank("either.jsonl", *given).stdout)
    assert [one["worse"] for one in found["confusion"]["negatives"]] == ["negative:grade-0"]
    assert found["settings"]["direct_grade"] == 2
    put(files / "wants.txt", (f"{query} background" for query in QUERIES[1:]))
    told = json.loads(limrank("either.jsonl", *given, "--wants", "wants.txt").stdout)["confusion"]
    assert told["sorts"][0]["queries"] == 1
    assert told["counts"]["not_wanting_direct"] == 5


def test_the_tables(files: Path):
    given = ("-q", "qrels.txt", "--kinds", "kinds.txt", "--first-stage", "bm25.run", "--worst", 1)
    shown = limrank("either.jsonl", "--against", "direct.jsonl", "--top", 2, *given).stdout
    for line in (
        r"lost by ordering +0\.\d{4}",
        r"… of which by the order of equal scores +0\.\d{4}",
        r"6 of 6 queries answered; 0 of those ranked too low",
        r"2 +6 +0\.\d{4}",
        r"indirect +direct +6 +6 +1\.0000 +1\.0000 … 1\.0000 +6 +\+0\.0000 +6",
        r"negative:false-claim +relevant +6 +12 +0\.0000",
        r"confused  q0  i \(indirect:supporting\) at 1 \[0\.9526\] above d \(direct\) at 2 \[0\.9526\]",
        r"in the first 2 +0 +6",
        r"24 of 24 scores shared; below another one of equal score: 0 relevant documents",
        r"0 documents failed \(0 relevant\)",
        r"indirect above direct +0\.0000 +1\.0000 +\+1\.0000",
        r"achieved with the number of relevant documents: –",
    ):
        assert re.search(line, shown), f"{line}\n{shown}"
    assert r"negative:false-claim above indirect:supporting" in shown, "no name or number is cut off"
    assert "…" not in re.sub(r" … |… of which", "", shown)
    plain = limrank("either.run", "-q", "qrels.txt").stdout
    assert "confus" not in plain
    assert "scores shared" not in plain


def test_the_commands_of_the_page(files: Path):
    assert f"--bins {DEFAULT_BINS}" in PAGE
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "limrank"
        group = whole_command()
        while arguments and arguments[0] in getattr(group, "commands", ()):
            group = group.commands[arguments.pop(0)]  # type: ignore[attr-defined]
        group.make_context(command, list(arguments))
    third = shlex.split(COMMANDS[2])
    done = CliRunner().invoke(build_app(), third[1:])
    assert done.exit_code == 0, done.output


def test_the_page_s_python_and_its_sentences(capsys: pytest.CaptureFixture[str]):
    from limrank_plugins.prompts import instructions

    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/errors.md", "exec"), {})
    assert capsys.readouterr().out == "{'q': 1.0} 2\n"
    for intent in ("direct", "background"):
        said = instructions()[f"intent/{intent}"].removeprefix("{{ query }} ")
        assert f"| `limrank:intent={intent}` | {said} |" in PAGE


def test_bad_input(files: Path):
    (files / "empty").write_text("")
    (files / "bad.txt").write_text("q0 d great\n")
    (files / "wants.txt").write_text("q0 direct\n")
    told = {
        "give either --kinds or --direct-grade": ("--kinds", "kinds.txt", "--direct-grade", 2),
        "give --kinds or --direct-grade": ("--wants", "wants.txt"),
        "expected a query and one of direct": ("--wants", "kinds.txt", "--kinds", "kinds.txt"),
        "line 1: a kind begins with direct, indirect, negative": ("--kinds", "bad.txt"),
        "names no kind": ("--kinds", "empty"),
        "--direct-grade must be 2 or more": ("--direct-grade", 1),
        "with --direct-grade 4 no passage is direct": ("--direct-grade", 4),
        "bins must ascend": ("--bins", "3,2"),
        "top must be a whole number >= 1": ("--top", 0),
        "--worst must be 0 or more": ("--worst", -1),
        "depth must be a whole number >= 1": ("--depth", 0),
        "there is no measure": ("-m", "nDGC@10"),
        "p-MRR compares two rankings": ("-m", "p-MRR"),
        "level must be > 0 and < 1": ("--level", 95),
        "resamples must be a whole number >= 1, but got 0": ("--resamples", 0),
        "ties must be one of": ("--ties", "coin", "--first-stage", "bm25.run"),
        "needs the first stage's run": ("--ties", "first-stage"),
        "there is no file": ("--against", "nowhere.run"),
        "is an empty run": ("--first-stage", "empty"),
    }
    for message, more in told.items():
        done = limrank("either.run", "-q", "qrels.txt", *more, code=2)
        assert message in done.stderr, done.stderr
        assert not done.stdout
    assert "no query of the run is judged" in limrank("either.run", "-q", other(files), code=2).stderr


def other(files: Path) -> Path:
    (files / "other").write_text("x 0 d 1\n")
    return files / "other"
