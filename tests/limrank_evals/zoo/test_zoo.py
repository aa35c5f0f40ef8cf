"""`limrank eval zoo` as real processes: killed, run again, without its model, with cells that fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from statistics import mean
from typing import Any

import benchmark_folders as made
import chats
import pytest
from servers import Answer, Call, LoopbackServer, completion
from typer.testing import CliRunner

from limrank_evals import Benchmark, Split, evaluate
from limrank_evals.measures import measure
from limrank_plugins import Reranker, samples
from limrank_plugins.cli import build_app

QUERIES, DEPTH = 3, 5
OPTIONS = ("--queries", str(QUERIES), "--depth", str(DEPTH), "--dtype", "float32")
CELLS = ("samples, first stage", "samples, mini", "samples, qlm", "samples, first", "samples, rankgpt")


@dataclass
class Zoo:
    """A folder with a tiny model and a zoo of it, whose command was killed once."""

    place: Path
    killed: str = ""
    kept: dict[str, bytes] = field(default_factory=dict)
    done: Any = None

    @property
    def cells(self) -> dict[str, bytes]:
        return {
            file.parent.name: file.read_bytes() for file in sorted(self.place.glob("out/samples/*/cell.json"))
        }

    def start(self, *more: str) -> subprocess.Popen[str]:
        # A folder of the user's must not lend its modules to the processes of the cells.
        (self.place / "json.py").write_text("raise SystemExit('a stranger')")
        words = ["eval", "zoo", "samples", "--model", "model", "-o", "out", *OPTIONS, *more]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "limrank_plugins", *words],
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *more: str, code: int = 0) -> tuple[str, list[str]]:
        """Its table, and the cells that it worked on."""
        process = self.start(*more)
        out, said = process.communicate()
        assert process.returncode == code, out + said
        return out + said, [line for line in said.splitlines() if line in (*CELLS, "samples, icr")]

    def report(self) -> dict[str, Any]:
        return {row["recipe"]: row for row in json.loads(self.file("zoo.json"))["collections"]["samples"]}

    def file(self, name: str) -> bytes:
        return (self.place / "out" / name).read_bytes()


RECIPES = ("--recipe", "qlm", "--recipe", "first", "--recipe", "rankgpt")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    begun = Zoo(tmp_path_factory.mktemp("zoo"))
    chats.build(begun.place / "model")
    process = begun.start(*RECIPES)
    assert process.stderr is not None
    for line in process.stderr:
        begun.killed += line
        if line.strip() == "samples, first":
            os.kill(process.pid, signal.SIGKILL)
            break
    process.communicate()  # to the end of stderr: the cell's process, which has the same, is gone, too
    begun.kept = begun.cells
    begun.done = begun.run(*RECIPES, code=1)
    return begun


def test_a_killed_zoo_goes_on(zoo: Zoo):
    assert [line for line in zoo.killed.splitlines() if line in CELLS] == list(CELLS[:4])
    assert set(zoo.kept) == {"first-stage", "mini", "qlm"}
    assert zoo.done[1] == list(CELLS[3:])
    assert {name: zoo.cells[name] for name in zoo.kept} == zoo.kept


def test_its_numbers_are_those_of_a_plain_evaluation(zoo: Zoo):
    queries = [query for query in samples.queries() if query.id in samples.qrels()][:QUERIES]
    qrels = {query.id: samples.qrels()[query.id] for query in queries}
    split = Split(Benchmark("samples", "", tuple(queries), samples.documents(), qrels), ("nDCG@10",))
    rows = zoo.report()
    model = str(zoo.place / "model")
    for recipe in ("qlm", "first"):
        reranker = Reranker(recipe, model=model, dtype="float32")
        found = evaluate(split, reranker, first_stage="bm25s", depth=DEPTH)
        plain, row = found.comparisons["nDCG@10"], rows[recipe]
        assert row["nDCG@10"]["mean"] == pytest.approx(plain.second)
        against = row["against"]["first stage"]
        assert against["difference"] == pytest.approx(plain.difference)
        assert against["p"]["randomisation"] == pytest.approx(plain.randomisation_p)
        texts = {document.id: document for document in samples.documents()}
        usages = [
            reranker.rank(query, [texts[d] for d in found.first.ranked[query.id]]).usage for query in queries
        ]
        for name in ("prompt_tokens", "shared_tokens", "generated_tokens", "calls"):
            assert row["cost"][name] == sum(getattr(usage, name) for usage in usages)
    assert rows["first stage"]["nDCG@10"]["mean"] == pytest.approx(plain.first)
    assert rows["first"]["against"]["mini"]["first"] == rows["mini"]["nDCG@10"]["mean"]
    orders = zip(*(permutations(ids) for ids in found.first.ranked.values()), strict=True)
    values = [
        measure(dict(zip(qrels, map(list, some), strict=True)), qrels, ("nDCG@10",)).per_query["nDCG@10"]
        for some in orders
    ]
    at_random = mean(value for one in values for value in one.values())
    assert rows["first stage"]["chance"] == pytest.approx(at_random)
    assert f"A random order of the candidates has {100 * at_random:.1f}." in " ".join(zoo.done[0].split())


def test_what_judged_nothing_has_no_number(zoo: Zoo):
    row = zoo.report()["rankgpt"]
    assert row["nDCG@10"] is None
    assert row["failures"] == row["documents"] == QUERIES * DEPTH
    assert row["why"].startswith("judged nothing: ")
    assert row["cost"]["generated_tokens"] > 0
    assert "samples rankgpt: judged nothing: " in zoo.done[0]


def test_each_cell_has_a_peak_of_its_own(zoo: Zoo):
    peaks = {name: row["peak_bytes"] for name, row in zoo.report().items()}
    # The first stage loads no torch, which alone takes more than this.
    assert peaks["mini"] - peaks["first stage"] > 50 << 20
    assert min(row["cost"]["cpu_seconds"] for row in zoo.report().values() if row["cost"]) > 0


def test_the_second_run_loads_nothing_and_writes_the_same(zoo: Zoo):
    names = ("zoo.json", "table.md", "plot.svg")
    before = {name: zoo.file(name) for name in names}
    (zoo.place / "model").rename(zoo.place / "gone")
    try:
        out, worked_on = zoo.run(*RECIPES, code=1)
        assert worked_on == []
        assert {name: zoo.file(name) for name in names} == before
        assert "rankgpt" in out
        failing, worked_on = zoo.run("--recipe", "icr", code=1)
        assert worked_on == ["samples, icr"]
        assert "samples icr: model " in failing
        assert zoo.report()["icr"]["failed"]
        assert "icr" not in zoo.cells
    finally:
        (zoo.place / "gone").rename(zoo.place / "model")
    assert zoo.run("--recipe", "icr")[1] == ["samples, icr"]
    assert zoo.report()["icr"]["nDCG@10"]["mean"] > 0


def test_cells_alone_are_enough_to_go_on(zoo: Zoo):
    # As they are kept with the source: a zoo of many hours goes on from them on another machine.
    zoo.run(*RECIPES, code=1)
    whole = zoo.report()
    for file in [*zoo.place.glob("out/settings.json"), *zoo.place.glob("out/samples/*/*.json")]:
        copy = zoo.place / "cells" / file.relative_to(zoo.place / "out")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    _, worked_on = zoo.run(*RECIPES, "-o", "cells", code=1)
    assert worked_on == []
    rows = json.loads((zoo.place / "cells/zoo.json").read_bytes())["collections"]["samples"]
    assert {row["recipe"]: row for row in rows} == whole


def test_other_settings_and_other_weights_are_refused(zoo: Zoo):
    refused, worked_on = zoo.run("--seed", "1", code=2)
    assert "seed is 0 there, 1 here" in refused
    assert worked_on == []
    config = zoo.place / "model" / "config.json"
    text = config.read_text()
    try:
        config.write_text(text + "\n")
        assert "weights is" in zoo.run(code=2)[0]
    finally:
        config.write_text(text)


# ---- a served model ---------------------------------------------------------------------------------


def test_what_a_served_model_failed_at_is_asked_again_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    made.beir(tmp_path / "set")
    sick = True
    answered: Counter[str] = Counter()

    def script(call: Call) -> Any:
        if sick and "b1" in call.prompt:
            return Answer({"error": {"message": "this passage is too much for me"}}, 400)
        answered[call.prompt] += 1
        good = "good" in call.prompt
        return completion({" true": -0.1, " false": -2.4} if good else {" true": -2.4, " false": -0.1})

    with LoopbackServer(script) as server:
        words = [
            *("eval", "zoo", "set", "--model", "m", "--backend", "openai", "--recipe", "limrank"),
            *("--option", f"base_url={server.url}", "--option", "api=completions", "--option", "server=vllm"),
            *("--option", "api_key=sk-secret-1234", "-o", "out", "--depth", "4"),
        ]
        ill = CliRunner().invoke(build_app(), words)
        assert ill.exit_code == 1, ill.output
        assert "set limrank: " in ill.output
        assert "too much for me" in ill.output
        [before] = [row for row in rows(tmp_path) if row["recipe"] == "limrank"]
        assert before["failures"] == 1
        sick = False
        first = Counter(answered)
        well = CliRunner().invoke(build_app(), words)
        assert well.exit_code == 0, well.output
        assert all("b1" in prompt for prompt in answered - first)
        asked = server.served
        assert CliRunner().invoke(build_app(), words).exit_code == 0
        assert server.served == asked
        (tmp_path / "out" / "set" / "notes.txt").write_text("not the zoo's")
        sick, kept = True, contents(tmp_path / "out")
        ill = CliRunner().invoke(build_app(), [*words, "--fresh"])
        assert ill.exit_code == 1, ill.output
        assert kept.items() <= contents(tmp_path / "out").items()
        assert server.served > asked
        sick = False
        assert CliRunner().invoke(build_app(), words).exit_code == 0
        assert contents(tmp_path / "out").keys() == kept.keys()
    [after] = [row for row in rows(tmp_path) if row["recipe"] == "limrank"]
    assert after["failures"] == 0
    assert after["nDCG@10"]["mean"] == pytest.approx(1.0)
    assert set(answered.values()) == {2}  # once, and once more with --fresh
    assert after["cost"]["prompt_tokens"] == 7 * len(answered)
    written = [file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert not any(b"sk-secret" in content for content in written)


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def rows(place: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((place / "out" / "zoo.json").read_text())["collections"]["set"]
    return found
