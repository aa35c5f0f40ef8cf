"""The arms of the proof: what is trained on, everything else being equal."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from limrank_plugins import Reranker
from limrank_plugins.recipes import Recipe, as_recipe, rankgpt, setwise
from limrank_training.objectives import Objective
from limrank_training.plans import Plan
from limrank_training.plans.shared_settings import LoraSettings, OptimiserSettings
from limrank_training.training_data import prepare
from limrank_training.training_run import FINAL, train
from limrank_training.world.base_model import DecoderShape
from limrank_training.world.language import World
from limrank_training.world.queries import HARD, Kind
from limrank_training.world.topic_ndcg import chance, measure
from limrank_training.world.topics import (
    Topic,
    curated,
    make_topics,
    rows_of,
    write_groups,
    write_rows,
)

SIZE = 4
"""Passages of a training query, in every arm and every layout: setwise prompting asks about four."""
NOISE = 0.25
CURATED = 0.05
_THOUGHT = 64
_FAR: tuple[Kind, ...] = ("random",)


@dataclass(frozen=True, slots=True)
class ProofArm:
    """What is trained on.

    Attributes:
        name: what it is called.
        about: what it is, in a line of a table.
        objective: and the recipe that goes with it.
        traces: whether reasoning is learned and asked for.
        kinds: of the negatives.
        rows: all of them, all with label noise, or the curated few of the noisy ones.
    """

    name: str
    about: str
    objective: Objective = "sft"
    traces: bool = True
    kinds: tuple[Kind, ...] = HARD
    rows: Literal["all", "raw", "curated"] = "all"

    @property
    def recipe(self) -> str:
        """Whose prompt is learned."""
        return {"sft": "limrank", "setwise-sft": "setwise", "listwise-sft": "rankgpt"}[self.objective]


ARMS = (
    ProofArm("traces", "pointwise, with traces, hard negatives"),
    ProofArm("no-traces", "pointwise, verdict only, hard negatives", traces=False),
    ProofArm("random-negatives", "pointwise, with traces, random negatives", kinds=_FAR),
    ProofArm("raw", f"pointwise, with traces, {NOISE:.0%} of the rows wrong", rows="raw"),
    ProofArm("curated", f"pointwise, with traces, a checked {CURATED:.0%} of the raw rows", rows="curated"),
    ProofArm("setwise", "the same passages as setwise rows, no traces", "setwise-sft", traces=False),
    ProofArm("listwise", "the same passages as listwise rows, no traces", "listwise-sft", traces=False),
)
RECIPES = ("limrank", "setwise", "rankgpt")


@dataclass(frozen=True, slots=True)
class ProofScale:
    """How much of everything.

    Attributes:
        shape: of the base.
        topics: training queries.
        steps: of the fine-tuning, in every arm.
        batch: rows of a step; of groups a quarter, so that as many passages are read.
        rate: of the fine-tuning.
        rank: of the adapters.
        asked: held-out queries that are ranked.
        candidates: passages of each.
    """

    shape: DecoderShape = field(default_factory=DecoderShape)
    topics: int = 2000
    steps: int = 1200
    batch: int = 16
    rate: float = 4e-3
    rank: int = 16
    asked: int = 60
    candidates: int = 20


def held_out_topics(world: World, scale: ProofScale, seed: int) -> list[Topic]:
    """What every arm is measured on: queries about entities that no training row shows."""
    draw = random.Random(f"asked {seed}")
    return make_topics(world, draw, scale.asked, held_out=True, size=scale.candidates)


def training_topics(world: World, arm: ProofArm, scale: ProofScale, seed: int) -> list[Topic]:
    """What an arm is trained on; arms with the same negatives have the same queries and passages."""
    draw = random.Random(f"taught {seed}")
    return make_topics(world, draw, scale.topics, kinds=arm.kinds, size=SIZE)


def run_arm(
    world: World, arm: ProofArm, scale: ProofScale, seed: int, base: Path, folder: Path
) -> dict[str, Any]:
    """Write the arm's file, train on it, load what was exported and rank held-out entities' passages.

    Returns:
        The arm's name and seed; `before` and `after` training, each as `measure` returns it; `rows` that
        were trained on, of which `wrong` said what is not so; `seconds`.
    """
    began = time.perf_counter()
    topics = training_topics(world, arm, scale, seed)
    wrong = 0
    if arm.objective == "sft":
        noise = 0.0 if arm.rows == "all" else NOISE
        rows = rows_of(topics, random.Random(f"noise {seed}"), noise)
        rows = curated(rows, CURATED) if arm.rows == "curated" else rows
        wrong = sum(not row.clean for row in rows)
        count, file = len(rows), write_rows(rows, folder / "rows.jsonl")
    else:
        count, file = len(topics), write_groups(topics, folder / "groups.jsonl")
    plan = plan_of(arm, scale, seed, base)
    train(plan, prepare(plan, str(file)), folder / "run", fresh=True, log_every=20)
    asked = held_out_topics(world, scale, seed)
    reading: dict[str, Any] = {"device": "cpu", "reasoning": "full" if arm.traces else "none"}
    if arm.traces:
        reading["max_reasoning_tokens"] = _THOUGHT
    recipe = _recipe(arm)
    # The base can chat, but is measured with the template that it is to be taught.
    template = as_recipe(recipe).template
    before = measure(Reranker(recipe, model=str(base), template=template, **reading), asked)
    after = measure(Reranker.from_pretrained(str(folder / "run" / FINAL), recipe=recipe, **reading), asked)
    return {
        "arm": arm.name,
        "seed": seed,
        "before": before,
        "after": after,
        "chance": chance(asked),
        "rows": count,
        "wrong": wrong,
        "seconds": round(time.perf_counter() - began, 1),
    }


def plan_of(arm: ProofArm, scale: ProofScale, seed: int, base: Path) -> Plan:
    """The arm as any other training run."""
    pointwise = arm.objective == "sft"
    batch = scale.batch if pointwise else max(1, scale.batch // SIZE)
    return Plan(
        f"proof-{arm.name}",
        objective=arm.objective,
        recipe=arm.recipe,
        base=str(base),
        reasoning=arm.traces,
        tokens=(),
        end=arm.objective == "listwise-sft",
        cutoff=512,
        lora=LoraSettings(r=scale.rank, alpha=2 * scale.rank),
        optimiser=OptimiserSettings(
            rate=scale.rate, schedule="cosine", warmup=0.05, steps=scale.steps, batch=batch, part=batch
        ),
        precision="float32",
        dev=0.0,
        seed=seed,
    )


def _recipe(arm: ProofArm) -> str | Recipe:
    """The recipe, with windows as large as the groups that were learned."""
    if arm.objective == "listwise-sft":
        return rankgpt.recipe(window=SIZE, stride=SIZE // 2)
    return setwise.recipe(children=SIZE - 1) if arm.objective == "setwise-sft" else arm.recipe


def named(names: Sequence[str]) -> list[ProofArm]:
    """The arms of these names, in the proof's own order; all, where none is named."""
    return [arm for arm in ARMS if not names or arm.name in names]
