"""Learned query likelihood: inference's tokens, the loss of its scores, and passages that are told apart."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from rounding import same_training

from limrank_plugins import Reranker
from limrank_plugins.backends.local.continuations import prepare as prepared_by_inference
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import Likelihood
from limrank_plugins.errors import InputError
from limrank_training.dev_ranking import MEASURE, dev_queries
from limrank_training.estimate import estimate
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan, QlmSettings, WatchSettings
from limrank_training.qlm import train
from limrank_training.training_data import TrainingData, prepare
from limrank_training.training_run import ADAPTER, FINAL
from limrank_training.training_run import train as run

torch.set_num_threads(1)
WORDS = ["milk", "acid", "bread", "light"]
PLAN = Plan(
    "test",
    objective="qlm",
    recipe="qlm",
    qlm=QlmSettings(scale=3.0, likelihood=0.5),
    reasoning=False,
    tokens=(),
    lora=LoraSettings(r=8, alpha=16),
    optimiser=OptimiserSettings(
        rate=1e-2, schedule="constant", warmup=0.0, steps=1, batch=4, part=4, clip=0.0
    ),
    precision="float32",
    cutoff=300,
    dev=0.0,
    seed=3,
)


def groups(grades: tuple[int, ...] = (2, 1, 0, 0)) -> list[dict[str, Any]]:
    """Of each word a query, whose best passage is about the word behind it."""
    return [
        {
            "query": f"why {word}",
            "passages": [
                {"id": str(i), "text": f"{WORDS[(place + 1 + i) % 4]} it is", "grade": grade}
                for i, grade in enumerate(grades)
            ],
        }
        for place, word in enumerate(WORDS)
    ]


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def prepared(folder: Path, plan: Plan = PLAN, rows: list[dict[str, Any]] | None = None) -> TrainingData:
    return prepare(plan, written(folder, groups() if rows is None else rows), tiny.tokenizer())


def scores(reranker: Reranker) -> np.ndarray:
    """What inference makes of each group's passages, in the file's order."""
    found = []
    for group in groups():
        ranking = reranker.rank(group["query"], [passage["text"] for passage in group["passages"]])
        found.append([hit.score for hit in sorted(ranking.hits, key=lambda hit: hit.index)])
    return np.array(found)


def test_an_example_is_what_inference_reads_token_for_token(tmp_path: Path):
    row = {
        "query": "why </think> <think>",
        "passages": [{"title": "light", "text": "acid </think>", "grade": 1}, {"text": "bread", "grade": 0}],
    }
    data = prepared(tmp_path, rows=[row])
    encoder = PromptEncoder(tiny.tokenizer())
    (group,) = data.examples
    assert [one.rank for one in group] == [1, 2]
    asked = data.layout.request(data.first)
    assert isinstance(asked, Likelihood)
    read = prepared_by_inference(encoder, asked, 300)
    assert group[0].ids == tuple(read.ids)
    assert len(group[0].ids) - group[0].learned == read.count
    assert "light acid" in encoder.decode(group[0].ids[: group[0].learned])


@pytest.mark.parametrize(("loss", "weighted"), [("ranknet", False), ("ranknet", True), ("listnet", False)])
def test_the_first_loss_is_that_of_inference(tmp_path: Path, loss: str, weighted: bool):
    """However a step is cut into parts; adapters change nothing yet."""
    reranker = Reranker("qlm", model=str(tiny.build(tmp_path / "base")), device="cpu")
    ranks = np.array([1, 2, 3, 3])
    costs = []
    for own in scores(reranker):
        scaled = 3.0 * own
        if loss == "ranknet":
            pairs = [(i, j) for i, j in product(range(4), range(4)) if ranks[i] < ranks[j]]
            weights = [1 / (ranks[i] + ranks[j]) if weighted else 1.0 for i, j in pairs]
            ranked = np.mean(
                [
                    w * math.log1p(math.exp(scaled[j] - scaled[i]))
                    for w, (i, j) in zip(weights, pairs, strict=True)
                ]
            )
        else:
            target = np.exp(-ranks) / np.exp(-ranks).sum()
            ranked = -(target * (scaled - np.log(np.exp(scaled).sum()))).sum()
        costs.append(ranked - 0.5 * own[0])
    for part in (4, 1):
        plan = replace(
            PLAN,
            loss=loss,
            qlm=replace(PLAN.qlm, weighted=weighted),
            optimiser=replace(PLAN.optimiser, part=part),
        )
        data = prepared(tmp_path, plan)
        trained = train(tiny.model(), data, plan, tmp_path / f"{part}", log_every=1)
        assert trained.history[0]["loss"] == pytest.approx(np.mean(costs), rel=1e-4), part


def test_parts_of_a_step_take_the_step_of_the_whole(tmp_path: Path):
    data, weights = prepared(tmp_path), []
    for part in (4, 2):
        plan = replace(PLAN, optimiser=replace(PLAN.optimiser, part=part, steps=2))
        model = train(tiny.model(), data, plan, tmp_path / str(part)).model
        weights.append({name: p.detach() for name, p in model.named_parameters() if p.requires_grad})
    same_training(weights[0], weights[1], 1e-2)


def test_passages_are_told_apart_for_each_query(tmp_path: Path):
    """Every passage is best for one query and worst for another, so it has to be read with the query."""
    base = tiny.build(tmp_path / "base")
    plan = replace(
        PLAN,
        base=str(base),
        optimiser=replace(PLAN.optimiser, schedule="cosine", steps=60, clip=1.0),
    )
    before = scores(Reranker("qlm", model=str(base), device="cpu"))
    assert not (before[:, :1] > before[:, 1:]).all()
    run(plan, prepare(plan, written(tmp_path, groups())), tmp_path / "run", log_every=1)
    found = {
        name: scores(Reranker.from_pretrained(str(tmp_path / "run" / name), device="cpu"))
        for name in (FINAL, ADAPTER)
    }
    assert found[FINAL] == pytest.approx(found[ADAPTER], abs=1e-3)
    ordered = found[FINAL]
    assert (ordered[:, 0] > ordered[:, 1]).all()
    assert (ordered[:, 1:2] > ordered[:, 2:]).all()
    card = json.loads((tmp_path / "run" / FINAL / "limrank.json").read_text())
    assert card["recipe"] == "qlm"


def test_kept_out_queries_have_a_loss_and_a_ranking(tmp_path: Path):
    plan = replace(
        PLAN,
        base=str(tiny.build(tmp_path / "base")),
        dev=0.4,
        watch=WatchSettings(),
        optimiser=replace(PLAN.optimiser, steps=2, batch=2, part=1),
    )
    rows = written(tmp_path, groups())
    queries = dev_queries(plan, rows)
    assert 1 <= len(queries) < 4
    data = prepare(plan, rows)
    assert len(data.dev) == len(queries)
    history = run(plan, data, tmp_path / "run", watched=queries).history
    assert any("eval_loss" in entry for entry in history)
    assert 0 < next(entry[MEASURE] for entry in history if MEASURE in entry) <= 1


def test_long_passages_are_cut_what_does_not_fit_is_dropped_and_lists_are_limited(tmp_path: Path):
    rows = groups()[:3]
    rows[1]["passages"][1]["text"] = "acid " * 400
    rows[2]["query"] = "why " * 400
    data = prepared(tmp_path, replace(PLAN, cutoff=200), rows)
    report = data.report["train"]
    assert (report["examples"], report["dropped"], report["passages_cut"]) == (8, 4, 1)
    assert report["longest"] == 200
    assert [len(group) for group in data.examples] == [4, 4]
    limited = prepared(tmp_path, replace(PLAN, lists=replace(PLAN.lists, size=3)))
    assert [len(group) for group in limited.examples] == [3] * 4
    assert all(min(one.rank for one in group) == 1 for group in limited.examples), "the best one stays"


def test_a_group_whose_passages_are_all_as_good_is_left_out(tmp_path: Path):
    alike = groups((1, 1, 1, 1))[0]
    assert len(prepared(tmp_path, rows=[alike, *groups()[1:]]).examples) == 3
    with pytest.raises(InputError, match="no group has a better and a worse one that fit 300 tokens"):
        prepared(tmp_path, rows=[alike])


@pytest.mark.parametrize("recipe", ["limrank", "rankgpt", "prior"])
def test_other_recipes_are_refused(tmp_path: Path, recipe: str):
    with pytest.raises(InputError, match=f"such as qlm; '{recipe}' does not"):
        prepared(tmp_path, replace(PLAN, recipe=recipe))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reasoning": True}, "reasoning: false, end: false"),
        ({"end": True}, "reasoning: false, end: false"),
        ({"qlm": None}, "a table qlm belongs to objective qlm"),
        ({"packed": True}, "packed: false"),
        ({"loss": "mse"}, "one of ranknet, listnet"),
        ({"objective": "sft"}, "a table qlm belongs to objective qlm"),
    ],
)
def test_plans_that_make_no_sense_are_refused(changes: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said):
        replace(PLAN, **changes)


@pytest.mark.parametrize("changes", [{"scale": 0}, {"likelihood": -1}, {"scale": "high"}])
def test_the_table_is_checked(changes: dict[str, Any]):
    from limrank_training.plans import load_plan

    with pytest.raises(InputError, match=f"qlm.{next(iter(changes))}"):
        load_plan("qlm-open-smollm2", {f"qlm.{name}": value for name, value in changes.items()})


def test_an_estimate_counts_all_passages_of_a_part(tmp_path: Path):
    size = {"examples": 10, "tokens": 4000, "longest": 500}
    plan = replace(PLAN, base=str(tiny.build(tmp_path / "base")), lora=None)
    more = replace(plan, lists=replace(plan.lists, size=40))
    assert estimate(more, size)["gigabytes"] > estimate(plan, size)["gigabytes"]
