"""The parts of a zoo: which recipes a model can serve, what is a collection, what a query costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark_folders as made
import pytest
from scripts import full_backend, reranker
from servers import Call, LoopbackServer, completion

from limrank_evals.evaluation.systems import describe
from limrank_evals.zoo import grid
from limrank_evals.zoo.cell import SCHEMA as CELL_SCHEMA
from limrank_evals.zoo.cell import _is_served, work
from limrank_evals.zoo.collections import file_name, find_collections, first_queries
from limrank_evals.zoo.costs import CostedReranker
from limrank_evals.zoo.grid import FIRST_STAGE, CellOutcome, Zoo, work_off
from limrank_evals.zoo.quality_plot import draw_zoo
from limrank_evals.zoo.served import why_not
from limrank_evals.zoo.zoo_report import report
from limrank_evals.zoo.zoo_row import Shares
from limrank_plugins import load_recipe, recipe_names
from limrank_plugins.backends import backend_names
from limrank_plugins.errors import InputError
from limrank_plugins.store import Store

REASONINGS = ("none", "auto", "auto:1 document", "full")
# What a causal language model cannot serve, and what is said of it.
LEFT_OUT = {
    "prior": "asks no model",
    "mini": "backend encoder",
    "fuse": "backend encoder",
    "cross-encoder": "backend cross-encoder",
    "gliclass": "backend gliclass",
    "rerank-api": "backend rerank-api",
    "tildev2": "backend tildev2",
    "monot5": "backend seq2seq",
    "mm-embed": "images",
    "mm-r5": "images",
    "ragvl": "images",
}


@pytest.mark.parametrize("name", recipe_names())
def test_which_recipes_a_language_model_serves(name: str):
    reason = why_not(load_recipe(name), "transformers", "none")
    assert bool(reason) == (name in LEFT_OUT)
    assert LEFT_OUT.get(name, "") in reason


def test_what_the_backend_cannot_answer_is_left_out():
    assert "attention" in why_not(load_recipe("icr"), "openai", "none")
    assert why_not(load_recipe("rankgpt"), "openai", "none") == ""
    assert why_not(load_recipe("monot5"), "seq2seq", "none") == ""
    assert why_not(load_recipe("qlm"), "seq2seq", "none") == ""
    assert "write" in why_not(load_recipe("rankgpt"), "seq2seq", "none")


def test_prompts_of_finished_cells_are_said_again(tmp_path: Path):
    (collection,) = find_collections(["samples"])
    for name in (FIRST_STAGE, "mini", "limrank", "rank1", "first"):
        prompt = "limrank-chat, as the model is another" if name in ("limrank", "rank1") else ""
        record = {"schema": CELL_SCHEMA, "final": True, "source": collection.digest(), "prompt": prompt}
        place = tmp_path / "samples" / file_name(name)
        place.mkdir(parents=True)
        (place / "cell.json").write_text(json.dumps(record))
    said: list[str] = []
    work_off(Zoo("m", (collection,)), ["limrank", "rank1", "first"], tmp_path, say=said.append)
    assert said == ["prompt of limrank: limrank-chat, as the model is another"]


def test_who_is_asked_again_after_a_failure():
    served = {name for name in backend_names() if _is_served({"backend": name})}
    assert served == {"openai", "rerank-api", "decisions"}
    assert not _is_served(None)


def test_collections(tmp_path: Path):
    place = made.beir(tmp_path / "a set")
    found = find_collections(["samples", str(place), "bright:pony", "beir:scifact=here"])
    assert [(one.label, one.benchmark, one.split) for one in found] == [
        ("samples", "samples", "test"),
        ("a-set", "folder", "test"),
        ("bright-pony", "bright", "pony"),
        ("beir-scifact", "beir", "scifact"),
    ]
    assert found[3].source == "here"
    assert find_collections([f"{place}:test"])[0].label == "a-set-test"
    before = found[1].digest()
    with (place / "queries.jsonl").open("a") as file:
        file.write("\n")
    assert found[1].digest() != before
    for wrong in ("nowhere", "bright:nothing", "folder:test"):
        with pytest.raises(InputError):
            find_collections([wrong])
    with pytest.raises(InputError, match="two collections are called 'samples'"):
        find_collections(["samples", "samples"])


def test_a_folder_called_samples_goes_before_the_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_collections(["samples"])[0].benchmark == "samples"
    made.beir(tmp_path / "samples")
    (own,) = find_collections(["samples"])
    assert (own.label, own.benchmark, own.split) == ("samples", "folder", "test")
    assert {query.text for query in own.task(None).load(own.split, own.source).benchmark.queries} == {
        f"what about {word}" for word in made.WORDS.values()
    }


def test_the_first_judged_queries():
    task = find_collections(["samples"])[0].task(None)
    split = task.load("test", "")
    judged = [query.id for query in split.benchmark.queries if query.id in split.benchmark.qrels]
    smaller = first_queries(split, 4).benchmark
    assert [query.id for query in smaller.queries] == judged[:4]
    assert set(smaller.qrels) == set(judged[:4])


def test_costs_change_no_identity_and_count_abstentions(tmp_path: Path):
    documents = ["passage a", "passage b", "passage c"]
    backend = full_backend(generate=lambda prompt: "neither")
    plain = reranker("rank-r1", reasoning="none")
    with Store(tmp_path / "store.sqlite") as store:
        costed = CostedReranker("rank-r1", backend=backend, reasoning="none")
        identity, described = costed.identity, describe(costed)
        costs = costed.keep_costs(store, adds=False)
        assert (costed.identity, describe(costed)) == (identity, described)
        assert costed.identity == plain.identity
        ranking = costed.rank("which", documents)
        [record] = costs.of([""])
        assert ranking.ids == ["0", "1", "2"]
        assert record["abstentions"] == ranking.usage.calls > 0
        assert record["calls"] == ranking.usage.calls
        costed.rank("which", documents)
        assert costs.of([""])[0]["calls"] == ranking.usage.calls  # asked again, not added


# ---- several reasonings -----------------------------------------------------------------------------


def test_how_a_reasoning_is_written():
    zoo = Zoo("m", (), reasoning=("none", "auto", "auto:20 documents, 5 seconds", "full", "auto:20 document"))
    with pytest.raises(InputError, match="budget"):
        replace(zoo, reasoning=("auto:much",)).arms(["limrank"])
    for wrong in ("much", "full:20 documents", "", "none:"):
        with pytest.raises(InputError, match="--reasoning must be none, full, auto"):
            replace(zoo, reasoning=(wrong,)).arms(["limrank"])
    assert [arm.name for arm in zoo.arms(["limrank", "qlm"])] == [
        "limrank, none",
        "limrank, auto",
        "limrank, auto within 20 documents, 5.0 seconds",
        "limrank, full",
        "limrank, auto within 20 documents",
        "qlm",
    ]
    [alone] = replace(zoo, reasoning=("full",)).arms(["limrank"])
    assert (alone.name, alone.reasoning) == ("limrank", "full")


def test_each_reasoning_is_a_cell_with_its_shares_of_full_reasoning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def script(call: Call) -> Any:
        """It knows a good passage once it has written ten tokens."""
        if call.body["max_tokens"] > 1:
            return completion({}, "Is it good?\n</think>") | {
                "usage": {"prompt_tokens": 7, "completion_tokens": 10}
            }
        good = "Is it good?" in call.prompt and "good" in call.prompt.split("<think>")[0]
        return completion({" true": -0.1, " false": -2.4} if good else {" true": -0.7, " false": -0.7})

    def at_once(order: Mapping[str, Any], progress: Callable[[int, int], None]) -> str:
        work(order, progress)
        return ""

    monkeypatch.setattr(grid, "run_cell", at_once)  # in this process: the other tests start some
    (collection,) = find_collections([str(made.beir(tmp_path / "set"))])
    mini = tmp_path / "set-out" / "set" / "mini"
    mini.mkdir(parents=True)
    record = {
        "schema": CELL_SCHEMA,
        "final": True,
        "source": collection.digest(),
        "values": None,
        "made of": None,
    }
    (mini / "cell.json").write_text(
        json.dumps(record | {"system": "mini", "unserved": True, "why": "not here"})
    )
    with LoopbackServer(script) as server:
        options = {"base_url": server.url, "api": "completions", "server": "vllm"}
        zoo = Zoo("m", (collection,), ("limrank",), "openai", REASONINGS, depth=4, options=options)
        outcomes = work_off(zoo, ["limrank"], tmp_path / "set-out")
    made_report = report(outcomes, zoo.settings(""), {}, named=True)
    rows = {row.outcome.recipe: row for row in made_report.rows["set"]}
    full = rows["limrank, full"]
    assert full.quality is not None
    assert full.quality.mean == pytest.approx(1.0)
    assert full.outcome.record is not None
    assert full.outcome.record["cost"]["generated_tokens"] >= 10 * 4 * len(made.WORDS)
    assert full.shares == Shares(1.0, 1.0, 1.0)
    none, one = rows["limrank, none"], rows["limrank, auto within 1 documents"]
    assert none.shares is not None
    assert one.shares is not None
    assert none.shares.quality == pytest.approx(none.quality.mean)  # type: ignore[union-attr]
    assert none.shares.quality < 1
    assert none.shares.written < one.shares.written < 0.5
    assert one.against["limrank, full"].difference == pytest.approx(one.quality.mean - 1)  # type: ignore[union-attr]
    table = made_report.markdown()
    assert "of full's" in table
    assert "100.0%" in table
    assert draw_zoo("m", made_report.rows).count("<circle") == len(REASONINGS)
    assert made_report.as_json()["settings"]["reasoning"] == "none, auto, auto:1 document, full"
    [line] = [row for row in made_report.as_json()["collections"]["set"] if row["recipe"] == "limrank, none"]
    assert set(line["share_of_full"]) == {"quality", "written", "computed"}


def cell(recipe: str, values: list[float] | None, failed: str = "", **more: object) -> CellOutcome:
    record = {
        "final": True,
        "system": recipe,
        "values": None if values is None else {f"q{i}": value for i, value in enumerate(values)},
        "made of": {"texts": "x"},
        "queries": 2,
        "documents": 4,
        "failures": 0,
        "repairs": 0,
        "peak_bytes": 1 << 20,
        "cost": None
        if recipe == FIRST_STAGE
        else {"prompt_tokens": 200, "generated_tokens": 20, "abstentions": 1, "cpu_seconds": 3.0},
        **more,
    }
    return CellOutcome("set", recipe, None if failed else record, failed)


SETTINGS = {
    "model": "<m>", "backend": "transformers", "reasoning": "none", "queries": 2, "depth": 2, "seed": 0,
    "batch": 8, "first_stage": "bm25s", "dtype": "bfloat16",
}  # fmt: skip


def test_a_report_of_cells(tmp_path: Path):
    outcomes = [
        cell(FIRST_STAGE, [0.5, 0.5]),
        cell("mini", [0.5, 0.7]),
        cell("worse", [0.1, 0.3]),
        cell("broken", None, failed="it \x1b[2J fell over"),
        cell("better", [0.9, 0.7]),
        cell("odd", None, unserved=True, why="no chat template"),
    ]
    named = report(outcomes, SETTINGS, {}, named=True)
    assert [row.outcome.recipe for row in named.rows["set"]] == [
        FIRST_STAGE, "mini", "better", "worse", "broken", "odd",
    ]  # fmt: skip
    assert len(named.failed()) == 2
    made = report(outcomes, SETTINGS, {"monot5": "it is T5's"})
    assert made.by_reason() == {
        "it is T5's": ["monot5"],
        "this model cannot be asked: no chat template": ["odd"],
    }
    assert made.failed() == {"it \ufffd[2J fell over": ["set broken"]}
    better = next(row for row in made.rows["set"] if row.outcome.recipe == "better")
    assert better.tokens == 110
    assert better.against["mini"].difference == pytest.approx(0.2)
    made.write(tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "| better | 80.0 (" in table
    assert "| broken | failed [1] |" in table
    assert "\x1b" not in table
    assert json.loads((tmp_path / "zoo.json").read_text())["left_out"]["monot5"] == "it is T5's"
    drawing = draw_zoo("<m>", made.rows)
    assert drawing.count("<circle") == 3  # the first stage is a line, what failed is nowhere
    assert "&lt;m&gt;" in drawing


def test_cells_of_other_texts_are_not_compared():
    outcomes = [cell(FIRST_STAGE, [0.5, 0.5]), cell("mini", [0.5, 0.7], **{"made of": {"texts": "y"}})]
    with pytest.raises(InputError, match="different texts"):
        report(outcomes, SETTINGS, {})
