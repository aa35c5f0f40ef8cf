"""Arms before anything is trained: their rows drawn, their plans made, what is wrong told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limrank_evals.ablations.arms import EPOCHS, EQUAL, Ablation, Arm
from limrank_evals.ablations.components import plan_changes
from limrank_evals.ablations.draws import RowDraw, draw
from limrank_evals.ablations.pools import Pool, lines_of, read_pool
from limrank_plugins.errors import InputError

if TYPE_CHECKING:
    from limrank_training.plans import Plan


@dataclass(frozen=True, slots=True)
class ArmSetup:
    """An arm before it is trained.

    Attributes:
        arm: see there.
        draw: its rows.
        plan: what it is trained by.
        contains: arms whose rows are all among its own.
    """

    arm: Arm
    draw: RowDraw
    plan: Plan
    contains: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--dry-run` and reports: counts, not rows."""
        o = self.plan.optimiser
        return {
            "arm": self.arm.name,
            "rows": len(self.draw.rows),
            "digest": self.draw.digest,
            "taken_out": self.draw.taken_out,
            "without": list(self.arm.without),
            "plan": self.plan.name,
            "settings": self.plan.as_json(),
            "reasoning": self.plan.reasoning,
            "steps": o.steps,
            "epochs": o.epochs if o.steps is None else None,
            "contains": list(self.contains),
            "counts": self.draw.counts(),
        }


def set_up_arms(ablation: Ablation) -> tuple[dict[str, ArmSetup], dict[str, Pool]]:
    """RowDraw all arms and make their plans; nothing is written and no weights are loaded.

    Returns:
        The arms and the pools, by name.

    Raises:
        InputError: a pool that cannot be read or is too small, or a plan that does not fit an arm.
    """
    used = dict.fromkeys(pool for arm in ablation.arms for pool in arm.rows)
    pools = {name: read_pool(name, ablation.data[name]) for name in used}
    draws = {arm.name: draw(arm, pools, ablation.seed) for arm in ablation.arms}
    steps = _steps(ablation, draws[ablation.reference], pools)
    digests = {name: draw_.digests for name, draw_ in draws.items()}
    return {
        arm.name: ArmSetup(
            arm,
            draws[arm.name],
            _plan(ablation, arm, steps),
            tuple(name for name, rows in digests.items() if name != arm.name and rows <= digests[arm.name]),
        )
        for arm in ablation.arms
    }, pools


def lines_drawn(drawn: RowDraw, pools: Mapping[str, Pool]) -> list[bytes]:
    """The lines of an arm's file, as they stand in the pools, in the order of the draw."""
    wanted: dict[str, set[int]] = {}
    for row in drawn.rows:
        wanted.setdefault(row.pool, set()).add(row.line)
    held = {name: lines_of(pools[name], numbers) for name, numbers in wanted.items()}
    return [(held[row.pool][row.line] + "\n").encode("utf-8", "surrogatepass") for row in drawn.rows]


def _plan(ablation: Ablation, arm: Arm, steps: int | None) -> Plan:
    from limrank_training.plans import load_plan

    changes = {**ablation.changes, **plan_changes(arm.without), **arm.changes}
    if steps is not None and "optimiser.steps" not in arm.changes:
        changes["optimiser.steps"] = steps
    return load_plan(arm.plan if arm.plan is not None else ablation.plan, changes)


def _steps(ablation: Ablation, reference: RowDraw, pools: Mapping[str, Pool]) -> int | None:
    """How many steps every arm takes; None where its epochs decide."""
    if ablation.steps == EPOCHS:
        return None
    if ablation.steps != EQUAL:
        return int(ablation.steps)
    from limrank_training.trainer_arguments import total_steps
    from limrank_training.training_data import is_dev

    plan = _plan(ablation, ablation.arm(ablation.reference), None)
    if plan.packed:
        raise InputError(
            "steps: equal cannot be reckoned with packed rows, before they are packed: name a number of steps"
        )
    rows = [json.loads(line) for line in lines_drawn(reference, pools)]
    learned = sum(not is_dev(str(row.get("query", "")), plan) for row in rows)
    return total_steps(plan, learned)
