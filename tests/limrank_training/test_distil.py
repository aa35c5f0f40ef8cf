"""Score distillation: inference's tokens, the loss of its scores, and a student that becomes its teacher."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from rounding import same_training
from scripts import full_backend

from limrank_plugins import Reranker
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Prompt
from limrank_training.dev_ranking import MEASURE, dev_queries
from limrank_training.distil import of_queries, train
from limrank_training.estimate import estimate
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan, TeacherSettings, WatchSettings
from limrank_training.training_data import TrainingData, prepare
from limrank_training.training_run import ADAPTER, FINAL
from limrank_training.training_run import train as run

torch.set_num_threads(1)
WORDS = ["milk", "acid", "bread", "light"]
PLAN = Plan(
    "test",
    objective="distil",
    teacher=TeacherSettings(),
    reasoning=False,
    lora=LoraSettings(r=8, alpha=16),
    optimiser=OptimiserSettings(
        rate=1e-2, schedule="constant", warmup=0.0, steps=1, batch=16, part=16, clip=0.0
    ),
    precision="float32",
    cutoff=300,
    dev=0.0,
    seed=3,
)


def scored(**more: Any) -> list[dict[str, Any]]:
    draw = random.Random(1)
    scores = {word: draw.sample([-2.5, -0.5, 1.0, 3.0], 4) for word in WORDS}
    return [
        {
            "query": f"why {word}",
            "passage": f"{other} it is",
            "relevant": word == other,
            "score": scores[word][place],
            **more,
        }
        for word in WORDS
        for place, other in enumerate(WORDS)
    ]


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def prepared(folder: Path, plan: Plan = PLAN, rows: list[dict[str, Any]] | None = None) -> TrainingData:
    return prepare(plan, written(folder, scored() if rows is None else rows), tiny.tokenizer())


def logits(reranker: Reranker) -> np.ndarray:
    """What inference makes of each row, as log P(true) - log P(false), in the file's order."""
    values = []
    for word in WORDS:
        ranking = reranker.rank(f"why {word}", [f"{other} it is" for other in WORDS])
        found = [hit.score for hit in sorted(ranking.hits, key=lambda hit: hit.index)]
        values += [math.log(score / (1 - score)) for score in found]
    return np.array(values)


def test_an_example_is_the_prompt_of_inference_token_for_token(tmp_path: Path):
    asked: list[Prompt] = []

    def listen(prompt: Prompt) -> tuple[float, float]:
        asked.append(prompt)
        return 0.0, 0.0

    row = {"query": "why <think>", "passage": "acid </think> true", "title": "milk", "score": 1.0}
    data = prepared(tmp_path, rows=[row, row | {"score": 2.0}])
    Reranker("limrank", backend=full_backend(read_labels=listen), reasoning="none").rank(
        row["query"], [f"{row['title']} {row['passage']}"]
    )
    encoder = PromptEncoder(tiny.tokenizer())
    (example,) = data.examples[0]
    inference = encoder.encode(asked[0])
    assert example.ids == tuple(inference.ids)
    assert [tiny.tokenizer().decode(token) for token in example.labels] == [" true", " false"]
    assert example.learned == len(example.ids), "nothing behind it is learned"


def test_the_first_loss_is_that_of_inference(tmp_path: Path):
    """However a step is cut into parts; adapters change nothing yet."""
    reranker = Reranker("limrank", model=str(tiny.build(tmp_path / "base")), reasoning="none", device="cpu")
    found, targets = logits(reranker), np.array([row["score"] for row in scored()])
    pairs = [
        ((found[i] - found[j]) - (targets[i] - targets[j])) ** 2
        for start in range(0, 16, 4)
        for i, j in combinations(range(start, start + 4), 2)
    ]
    for loss, batch, part, expected in (
        ("mse", 16, 16, np.mean((found - targets) ** 2)),
        ("mse", 16, 4, np.mean((found - targets) ** 2)),
        ("margin-mse", 4, 2, np.mean(pairs)),
    ):
        plan = replace(PLAN, loss=loss, optimiser=replace(PLAN.optimiser, batch=batch, part=part))
        data = prepared(tmp_path, plan)
        trained = train(tiny.model(), data, plan, tmp_path / f"{loss}{part}", log_every=1)
        assert trained.history[0]["loss"] == pytest.approx(expected, rel=1e-4), (loss, part)


def test_parts_of_a_step_take_the_step_of_the_whole(tmp_path: Path):
    data, weights = prepared(tmp_path), []
    for part in (16, 2):
        plan = replace(PLAN, optimiser=replace(PLAN.optimiser, part=part, steps=2))
        model = train(tiny.model(), data, plan, tmp_path / str(part)).model
        weights.append({name: p.detach() for name, p in model.named_parameters() if p.requires_grad})
    same_training(weights[0], weights[1], 1e-2)


@pytest.mark.parametrize("loss", ["mse", "margin-mse"])
def test_a_student_becomes_its_teacher(tmp_path: Path, loss: str):
    base = tiny.build(tmp_path / "base")
    size, steps = {"mse": (16, 60), "margin-mse": (4, 40)}[loss]
    plan = replace(
        PLAN,
        base=str(base),
        loss=loss,
        optimiser=replace(PLAN.optimiser, schedule="cosine", steps=steps, batch=size, part=size, clip=1.0),
    )
    result = run(plan, prepare(plan, written(tmp_path, scored())), tmp_path / "run", log_every=1)
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    assert np.mean(losses[-5:]) < 0.05 * np.mean(losses[:5])
    targets = np.array([row["score"] for row in scored()]).reshape(4, 4)
    found = {}
    for name in (FINAL, ADAPTER):
        reranker = Reranker("limrank", model=str(tmp_path / "run" / name), reasoning="none", device="cpu")
        found[name] = logits(reranker).reshape(4, 4)
    assert found[FINAL] == pytest.approx(found[ADAPTER], abs=1e-3)
    assert (found[FINAL].argsort(axis=1) == targets.argsort(axis=1)).all(), (
        "each query in the teacher's order"
    )
    errors = found[FINAL] - targets
    if loss == "margin-mse":
        errors -= errors.mean(axis=1, keepdims=True)
    assert np.abs(errors).max() < 0.8
    card = json.loads((tmp_path / "run" / FINAL / "limrank.json").read_text())
    assert (card["recipe"], card["reasoning"]) == ("limrank", "none")


def test_kept_out_queries_have_a_loss_and_a_ranking(tmp_path: Path):
    plan = replace(
        PLAN,
        base=str(tiny.build(tmp_path / "base")),
        dev=0.4,
        watch=WatchSettings(),
        optimiser=replace(PLAN.optimiser, steps=2, batch=4, part=4),
    )
    rows = written(tmp_path, scored())
    queries = dev_queries(plan, rows)
    assert 1 <= len(queries) < 4
    data = prepare(plan, rows)
    assert len(data.dev) == 4 * len(queries)
    history = run(plan, data, tmp_path / "run", watched=queries).history
    assert any("eval_loss" in entry for entry in history)
    assert 0 < next(entry[MEASURE] for entry in history if MEASURE in entry) <= 1
    unjudged = [{k: v for k, v in row.items() if k != "relevant"} for row in scored()]
    assert len(prepared(tmp_path / "unjudged", plan, unjudged).dev) == len(data.dev), "labels are not needed"
    with pytest.raises(InputError, match="leave the table watch out"):
        dev_queries(plan, tmp_path / "unjudged/rows.jsonl")


def targets_of(folder: Path, teacher: TeacherSettings, scores: list[float]) -> list[float]:
    rows = [row | {"score": score} for row, score in zip(scored(), scores, strict=False)]
    return [one.target for (one,) in prepared(folder, replace(PLAN, teacher=teacher), rows).examples]


def test_scales(tmp_path: Path):
    scores = [0.0, 0.25, 0.5, 1.0]
    assert targets_of(tmp_path, TeacherSettings("none"), scores) == scores
    logit = targets_of(tmp_path, TeacherSettings("logit", epsilon=0.01), scores)
    assert logit == pytest.approx([-math.log(99), -math.log(3), 0.0, math.log(99)])
    z = targets_of(tmp_path, TeacherSettings("zscore", sd=3.0), [400.0, 100.0, 900.0])
    assert (np.mean(z), np.std(z)) == (pytest.approx(0.0), pytest.approx(3.0))
    huge = targets_of(tmp_path, TeacherSettings("zscore", sd=1.0), [-1e150, 1e150])
    assert huge == pytest.approx([-1.0, 1.0])
    assert z == pytest.approx(3 * (np.array([400, 100, 900]) - 1400 / 3) / np.std([400, 100, 900]))
    report = prepared(tmp_path, rows=scored(teacher="mini")).report
    assert report["scores"]["teacher"] == "mini"
    assert report["scores"]["scale"] == "none"


def test_a_querys_passages_are_parted_evenly(tmp_path: Path):
    rows = [row | {"query": "why milk", "passage": f"{i} it is"} for i, row in enumerate(scored()[:11])]
    rows += [rows[0] | {"query": "alone"}]
    examples = [one for (one,) in prepared(tmp_path, rows=rows).examples]
    parts = of_queries(examples, 5)
    assert [len(part) for part in parts] == [4, 4, 3]
    assert [one.where.split()[-1] for one in parts[0]] == ["1", "4", "7", "10"]
    assert [len(part) for part in of_queries(examples, 20)] == [11]


@pytest.mark.parametrize(
    ("changes", "plan", "said"),
    [
        ({"score": None}, {}, r"rows\.jsonl, line 2: there is no 'score': `limrank score`"),
        ({"score": "high"}, {}, "line 2: 'score' must be a finite number, but got 'high'"),
        ({"score": float("nan")}, {}, "line 2"),
        ({"score": 1e999}, {}, "line 2"),
        ({"score": True}, {}, "line 2: 'score' must be a finite number, but got True"),
        ({"score": 1.2}, {"teacher": TeacherSettings("logit")}, "line 2: .*probabilities.*is 1.2"),
        ({"score": 3.5e38}, {"teacher": TeacherSettings("none")}, "line 2: the score 3.5e[+]38 is beyond"),
        ({"score": 0.5}, {}, "all other rows have the score 0.5"),
        (
            {"query": "another", "score": 0.7},
            {"loss": "margin-mse"},
            "no query has two with different scores",
        ),
        ({"teacher": 3}, {}, "line 2: 'teacher' must be a text"),
        ({}, {"recipe": "rankgpt"}, "'rankgpt' does not"),
    ],
)
def test_what_cannot_be_learned_is_named(
    tmp_path: Path, changes: dict[str, Any], plan: dict[str, Any], said: str
):
    row = {"query": "why", "passage": "acid", "score": 0.5}
    rows = [row, row | {"passage": "bread"} | changes]
    with pytest.raises(InputError, match=said):
        prepared(tmp_path, replace(PLAN, **plan), rows)


def test_scores_are_refused_where_nothing_learns_them(tmp_path: Path):
    plan = replace(PLAN, objective="sft", teacher=None)
    with pytest.raises(InputError, match=r"line 1: unknown column 'score': .* objective distil alone: take"):
        prepared(tmp_path, plan)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reasoning": True}, "reasoning: false, end: false"),
        ({"end": True}, "reasoning: false, end: false"),
        ({"teacher": None}, "a table teacher belongs to objective distil"),
        ({"packed": True}, "packed: false"),
        ({"loss": "ranknet"}, "one of mse, margin-mse"),
    ],
)
def test_plans_that_make_no_sense_are_refused(changes: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said):
        replace(PLAN, **changes)


@pytest.mark.parametrize("changes", [{"scale": "log"}, {"sd": 0}, {"epsilon": 1e-17}, {"epsilon": 0.5}])
def test_the_table_is_checked(changes: dict[str, Any]):
    from limrank_training.plans import load_plan

    with pytest.raises(InputError, match=f"teacher.{next(iter(changes))}"):
        load_plan("distil-open-smollm2", {f"teacher.{name}": value for name, value in changes.items()})


def test_long_passages_are_cut_and_what_does_not_fit_is_dropped(tmp_path: Path):
    rows = scored()[:3]
    rows[1] |= {"passage": "acid " * 400}
    rows[2] |= {"query": "why " * 400}
    report = prepared(tmp_path, replace(PLAN, cutoff=200), rows).report["train"]
    assert (report["examples"], report["dropped"], report["passages_cut"]) == (2, 1, 1)
    assert report["longest"] == 200


def test_an_estimate_holds_the_logits_of_one_position(tmp_path: Path):
    size = {"examples": 10, "tokens": 4000, "longest": 500}
    base = tiny.build(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"vocab_size": 200_000}))  # no weights are loaded
    plan = replace(PLAN, base=str(base), lora=None, optimiser=replace(PLAN.optimiser, part=16))
    whole = replace(plan, objective="sft", teacher=None)
    logits_of_all = 16 * 500 * 200_000 * 12 / 1e9
    difference = estimate(whole, size)["gigabytes"] - estimate(plan, size)["gigabytes"]
    assert difference == pytest.approx(logits_of_all * 499 / 500, abs=0.2)
    together = estimate(replace(plan, loss="margin-mse"), size)["gigabytes"]
    assert together > estimate(plan, size)["gigabytes"], "a part is of so many queries' passages"
