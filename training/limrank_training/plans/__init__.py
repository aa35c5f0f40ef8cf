"""Training plans: everything a run depends on, as YAML; the shipped ones are those of `training/plans`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from limrank_plugins.checks import whole_number
from limrank_plugins.configuration import checked, parse_yaml
from limrank_plugins.errors import InputError
from limrank_plugins.pipes import read_text, regular_file
from limrank_training.losses import losses_of
from limrank_training.objectives import OBJECTIVES, Objective
from limrank_training.plans.objective_settings import (
    ContrastSettings,
    FirstSettings,
    GrpoSettings,
    LabelSettings,
    NoiseSettings,
    PairSettings,
    PolicySettings,
    QlmSettings,
    TeacherSettings,
)
from limrank_training.plans.shared_settings import (
    ListSettings,
    LoraSettings,
    OptimiserSettings,
    WatchSettings,
)

_RENAMED = {"joint.loss": "loss", "watch.thought": "watch.max_reasoning_tokens"}
"""Settings that plans of before have under another name."""

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True, slots=True)
class Plan:
    """A training run, up to its data.

    Attributes:
        name: what it is called.
        about: what it reproduces, in a sentence or two.
        disagrees: where its sources contradict each other, and what this plan takes.
        objective: what is optimised: `"sft"` the likelihood of trace and verdict about one passage;
            `"graded"` that of a passage's grade; `"setwise-sft"` that of the best passage's label,
            `"listwise-sft"` that of an order; `"first"` that of an order, with the scores of the labels;
            `"grpo"` the reward of what the model writes itself; `"distil"` a teacher's score of a passage,
            without reasoning; `"qlm"` how likely the query is behind each of its passages; `"tildev2"` what
            tokens weigh; `"gliclass"` which labels fit a text; `"cross-encoder"` whether a pair fits;
            `"mm-embed"` vectors of texts and images; `"ragvl"` the yes or no to an image. See `objectives`.
        loss: what is minimised, one of `losses.LOSSES`; None: the first one that the objective takes.
        recipe: whose prompt and labels are used, with its options; the run's card names it.
        base: the model that is trained.
        reasoning: whether traces are learned; without them the verdict follows the prompt at once.
        learned: `"completion"`: trace and verdict; `"verdict"`: what stands behind the trace, which is given.
        share: how much of each trace is used, back to a sentence's end.
        tokens: ordinary tokens that the tokenizer must have; they are added where it has not.
        end: whether the end of the answer is learned. LimRank and Rank1 are trained without; inference
            stops on strings.
        cutoff: the most tokens of an example; passages are cut, then the trace, never the verdict. With
            `"grpo"` the most tokens of a prompt.
        lora: adapters, or None to train everything.
        optimiser: see there.
        precision: of products and of what is not trained; what is trained is held in 32 bits.
        dev: the share of the queries that is kept out for a loss and nDCG@10 on unseen ones.
        checkpoints: how often a checkpoint is kept in an epoch.
        seed: of everything drawn.
        packed: fill rows with several examples, each seeing itself alone.
        recompute: compute the forward pass again for the gradient, rather than keep it (gradient
            checkpointing): a third more time for a fraction of the memory.
        lists: how many passages are shown, and in what order.
        joint: of `"first"`.
        grpo: of `"grpo"`.
        teacher: of `"distil"`.
        qlm: of `"qlm"`.
        contrast: of `"tildev2"` and `"mm-embed"`.
        classes: of `"gliclass"`.
        pairs: of `"cross-encoder"`.
        noise: with `"ragvl"`, weights its tokens by what a noised image takes away; None: all the same.
        watch: rank kept-out queries at every checkpoint; None: only their loss is measured.
    """

    name: str
    about: str = ""
    disagrees: tuple[str, ...] = ()
    objective: Objective = "sft"
    loss: str | None = None
    recipe: str = "limrank"
    base: str = "Qwen/Qwen2.5-7B"
    reasoning: bool = True
    learned: Literal["completion", "verdict"] = "completion"
    share: float = 1.0
    tokens: tuple[str, ...] = ("<think>", "</think>")
    end: bool = False
    cutoff: int = 2500
    lora: LoraSettings | None = field(default_factory=LoraSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    dev: float = 0.01
    checkpoints: int = 1
    seed: int = 12345
    packed: bool = False
    recompute: bool = False
    lists: ListSettings = field(default_factory=ListSettings)
    joint: FirstSettings | None = None
    grpo: GrpoSettings | None = None
    teacher: TeacherSettings | None = None
    qlm: QlmSettings | None = None
    contrast: ContrastSettings | None = None
    classes: LabelSettings | None = None
    pairs: PairSettings | None = None
    noise: NoiseSettings | None = None
    watch: WatchSettings | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.dev < 1:
            raise InputError(f"dev must be >= 0 and < 1, but got {self.dev!r}")
        whole_number("cutoff", self.cutoff, least=1)
        whole_number("checkpoints", self.checkpoints, least=1)
        if not 0 < self.share <= 1:
            raise InputError(f"share must be > 0 and <= 1, but got {self.share!r}")
        uses_part = self.share != 1 or self.learned == "verdict"
        if uses_part and not self.reasoning:
            raise InputError("share and learned=verdict need reasoning: true, as there is no trace otherwise")
        if uses_part and self.objective != "sft":
            raise InputError(f"share and learned belong to objective sft, but it is {self.objective}")
        self._check_objective()
        self._check_batch()

    def _check_objective(self) -> None:
        """What belongs to one objective must not stand beside another, and what it needs must be there."""
        objective, name = OBJECTIVES[self.objective], self.objective
        if self.packed and not objective.can_pack:
            raise InputError(f"packed rows cannot be used with objective {name}: set packed: false")
        losses = losses_of(name)
        if self.loss is not None and self.loss not in losses:
            known = f"one of {', '.join(losses)}" if losses else "left out"
            raise InputError(f"loss must be {known} with objective {name}, but got {self.loss!r}")
        for table in dict.fromkeys(spec.settings for spec in OBJECTIVES.values() if spec.settings):
            if (getattr(self, table) is not None) != (table == objective.settings):
                owners = [other for other, spec in OBJECTIVES.items() if spec.settings == table]
                raise InputError(
                    f"a table {table} belongs to objective {' and '.join(owners)}, and the objective needs it"
                )
        if self.noise is not None and objective.optional_settings != "noise":
            raise InputError("a table noise belongs to objective ragvl")
        if self.watch is not None and not (self.dev and objective.can_watch):
            watched = [other for other, spec in OBJECTIVES.items() if spec.can_watch]
            raise InputError(
                f"a table watch needs dev > 0, and an objective that makes a ranking of a file's rows: "
                f"{', '.join(watched)}"
            )
        if objective.is_encoder and (self.lora is not None or self.recompute):
            raise InputError(f"objective {name} trains all weights: lora: null, recompute: false")
        if (objective.reads_labels or name == "qlm") and (self.reasoning or self.end):
            learned = (
                "what the labels score behind the prompt" if objective.reads_labels else "to score the query"
            )
            raise InputError(
                f"objective {name} learns {learned}, and writes nothing: reasoning: false, end: false"
            )
        if self.lists.shuffle and self.reasoning and name in ("setwise-sft", "listwise-sft"):
            raise InputError("lists.shuffle needs reasoning: false, as a trace may name the passages' labels")

    def _check_batch(self) -> None:
        """What is computed at a time must divide what makes a step."""
        batch, part = self.optimiser.batch, self.optimiser.part
        if self.grpo is not None:
            if batch * self.grpo.generations % part:
                raise InputError(
                    f"optimiser.batch={batch} times grpo.generations={self.grpo.generations} must be a "
                    f"multiple of optimiser.part={part}"
                )
        elif batch % part:
            raise InputError(f"optimiser.batch={batch} must be a multiple of optimiser.part={part}")

    def as_json(self) -> dict[str, Any]:
        """The resolved settings."""
        return dataclasses.asdict(self)


def plan_names() -> list[str]:
    """The plans that come with the package."""
    files = _shipped().iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".yaml"))


def _shipped() -> Traversable:
    """Where the shipped plans lie: beside this module in a wheel, else where the sources have them."""
    beside = resources.files(__name__)
    built = any(file.name.endswith(".yaml") for file in beside.iterdir())
    return beside if built else Path(__file__).parents[2] / "plans"


def load_plan(name: str, changes: Mapping[str, Any] | None = None) -> Plan:
    """A shipped plan, or that of a `.yaml` file, with some settings changed.

    Args:
        name: a plan's name, or a path that ends in `.yaml`.
        changes: settings by dotted name, as in `{"optimiser.rate": 1e-4, "base": "folder"}`.

    Raises:
        InputError: there is no such plan, or a setting that is unknown, of another type, or senseless.
    """
    if name.endswith((".yaml", ".yml")):
        path = regular_file(name, "plan file")
        text, called = read_text(path), path.stem
    elif name in plan_names():
        text, called = _shipped().joinpath(f"{name}.yaml").read_text("utf-8"), name
    else:
        raise InputError(f"there is no plan {name!r}; there are: {', '.join(plan_names())}")
    values = {"name": called} | parse_yaml(text, f"plan {name!r}")
    for key, value in (changes or {}).items():
        _set(values, key, value)
    for old, new in _RENAMED.items():
        table, _, setting = old.partition(".")
        if isinstance(values.get(table), dict) and setting in values[table]:
            _set(values, new, values[table].pop(setting))
    return checked(Plan, _with_numbers(values), f"plan {name!r}")


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value under a dotted name; tables that are not there are made."""
    *tables, setting = key.split(".")
    for name in tables:
        table = values.get(name)
        if table is None:
            table = values[name] = {}
        if not isinstance(table, dict):
            raise InputError(f"{name!r} of the plan is no table, so {key!r} cannot be set")
        values = table
    values[setting] = value


def _with_numbers(value: Any) -> Any:
    """The value with texts such as 1e-4 as numbers, which YAML takes for texts where they have no dot."""
    if isinstance(value, dict):
        return {name: _with_numbers(inner) for name, inner in value.items()}
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return value


__all__ = [
    "ContrastSettings",
    "FirstSettings",
    "GrpoSettings",
    "LabelSettings",
    "ListSettings",
    "LoraSettings",
    "NoiseSettings",
    "Objective",
    "OptimiserSettings",
    "PairSettings",
    "Plan",
    "PolicySettings",
    "QlmSettings",
    "TeacherSettings",
    "WatchSettings",
    "load_plan",
    "plan_names",
]
