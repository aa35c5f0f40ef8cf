"""What is to be compared: arms, each a draw of training rows and perhaps another plan, as YAML or TOML.

    about: what it is for
    plan: limrank-7b-paper              # a shipped training plan or a .yaml file
    set: {optimiser.rate: 3.0e-5}       # changes to it, for every arm
    steps: epochs                       # epochs | equal | a number
    seed: 0                             # of the draw
    reference: full                     # what the others are compared with; default: the first arm
    data: {rank1: rank1.jsonl, synthetic: run/}
    evaluate: {benchmark: folder, source: beir/scifact, depth: 100, measures: [nDCG@10]}
    arms:
      full: {rows: {rank1: 14000, synthetic: 6000}}
      10k: {of: full, total: 10000}
      no-daily-life: {of: full, without: [daily-life], refill: false}
      no-traces: {of: full, without: [traces]}

The shipped ones (`paper`, `volume`, `sources`, `components`) lie beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from limrank_evals.ablations.arm_evaluation import Evaluation, evaluation_settings
from limrank_evals.ablations.components import check_component
from limrank_plugins.checks import whole_number
from limrank_plugins.configuration import checked, parse_toml, parse_yaml
from limrank_plugins.errors import InputError
from limrank_plugins.pipes import read_text, regular_file

EPOCHS, EQUAL = "epochs", "equal"


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the runs that are compared.

    Attributes:
        name: what tables and its folder call it.
        rows: how many rows of each pool, None for all of them.
        total: so many of those rows; None: all. Of two arms that differ in this alone, the smaller one's
            rows are among the larger one's.
        without: components that are taken out, see `limrank_evals.ablations.components`.
        refill: rows that a component takes out are made up for by others of their pool, so that the arm
            is as large as without it; else the arm is smaller.
        plan: another training plan than the ablation's.
        changes: settings of the plan by dotted name.
    """

    name: str
    rows: Mapping[str, int | None]
    total: int | None = None
    without: tuple[str, ...] = ()
    refill: bool = True
    plan: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w][\w.+-]*", self.name):
            raise InputError(
                f"an arm's name is a folder's, of letters, digits and -._+, but is {self.name!r}"
            )
        if not self.rows:
            raise InputError(f"arm {self.name!r} has no data: name a pool in its rows")
        for pool, count in [*self.rows.items(), ("total", self.total)]:
            if count is not None and (type(count) is not int or count < 1):
                raise InputError(f"arm {self.name!r}: {pool} must be a number > 0 or all, but is {count!r}")
        for component in self.without:
            check_component(component)

    def as_json(self) -> dict[str, Any]:
        """The arm as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Ablation:
    """Arms, and what they have in common; see the head of this module.

    Attributes:
        name: what it is called.
        arms: in the order of the table.
        data: for every pool of rows its file or folder.
        plan: the training plan.
        changes: settings of it by dotted name.
        steps: `"epochs"`: the plan's epochs, so that fewer rows are fewer steps; `"equal"`: as many steps
            for every arm as the plan's epochs are of the reference arm; or a number of steps for all.
        seed: of the draw of rows.
        reference: the arm that the others are compared with.
        about: what it is for.
        evaluation: what every arm is evaluated on; None: nothing was said.
    """

    name: str
    arms: tuple[Arm, ...]
    data: Mapping[str, str]
    plan: str = "limrank-7b-paper"
    changes: Mapping[str, Any] = field(default_factory=dict)
    steps: str | int = EPOCHS
    seed: int = 0
    reference: str = ""
    about: str = ""
    evaluation: Evaluation | None = None

    def __post_init__(self) -> None:
        if not self.arms:
            raise InputError(f"ablation {self.name!r} has no arms")
        if self.reference not in [arm.name for arm in self.arms]:
            raise InputError(
                f"the reference must be one of the arms {', '.join(a.name for a in self.arms)}, but is "
                f"{self.reference!r}"
            )
        if self.steps not in (EPOCHS, EQUAL) and not (type(self.steps) is int and self.steps > 0):
            raise InputError(f"steps must be {EPOCHS}, {EQUAL} or a number > 0, but is {self.steps!r}")
        whole_number("seed", self.seed)
        for arm in self.arms:
            unknown = sorted(set(arm.rows) - set(self.data))
            if unknown:
                raise InputError(
                    f"arm {arm.name!r} draws from {unknown[0]!r}, but the data are {', '.join(self.data)}"
                )
        missing = sorted({pool for arm in self.arms for pool in arm.rows if not self.data[pool]})
        if missing:
            raise InputError(
                f"where are the rows of {', '.join(map(repr, missing))}? name their files: "
                + " ".join(f"--data {pool}=FILE" for pool in missing)
            )

    def arm(self, name: str) -> Arm:
        """The arm of this name.

        Raises:
            InputError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise InputError(f"there is no arm {name!r}; there are: {', '.join(arm.name for arm in self.arms)}")


def ablation_names() -> list[str]:
    """The ablations that come with the package."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".yaml"))


def load_ablation(name: str, settings: Mapping[str, Any] | None = None) -> Ablation:
    """A shipped ablation, or that of a `.yaml` or `.toml` file.

    Args:
        name: an ablation's name, or a path.
        settings: replace the file's; those in `data`, `set` and `evaluate` one by one.

    Raises:
        InputError: there is no such ablation, or a setting is unknown, missing or senseless.
    """
    values = _read(name)
    for key, value in (settings or {}).items():
        inside = values.get(key) or {}
        merged = key in ("data", "set", "evaluate") and isinstance(inside, dict)
        values[key] = {**inside, **value} if merged else value
    if isinstance(evaluation := values.get("evaluate"), dict):
        values["evaluate"] = evaluation_settings(evaluation) if evaluation else None
    for spec in values["arms"].values() if isinstance(values.get("arms"), dict) else ():
        if isinstance(spec, dict) and spec.get("rows") == "all":  # short for all rows of every pool
            spec["rows"] = dict.fromkeys(values.get("data") or {}, "all")
    file = checked(_AblationFile, {key: value for key, value in values.items() if value is not None}, name)
    data = {pool: path or "" for pool, path in file.data.items()}
    arms: dict[str, Arm] = {}
    for title, spec in file.arms.items():
        arms[title] = _arm(title, spec or _ArmSettings(), arms, data)
    return Ablation(
        Path(name).stem,
        tuple(arms.values()),
        data,
        plan=file.plan,
        changes=file.set,
        steps=file.steps,
        seed=file.seed,
        reference=next(iter(arms), "") if file.reference is None else file.reference,
        about=file.about,
        evaluation=file.evaluate,
    )


@dataclass(frozen=True)
class _ArmSettings:
    """An arm as a file has it; None is what the arm that it is made of has."""

    of: str | None = None
    rows: dict[str, int | Literal["all"] | None] | None = None
    total: int | None = None
    without: tuple[str, ...] = ()
    refill: bool | None = None
    plan: str | None = None
    set: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _AblationFile:
    """An ablation as a file has it."""

    arms: dict[str, _ArmSettings | None] = field(default_factory=dict)
    about: str = ""
    plan: str = "limrank-7b-paper"
    set: dict[str, Any] = field(default_factory=dict)
    steps: int | str = EPOCHS
    seed: int = 0
    reference: str | None = None
    data: dict[str, str | None] = field(default_factory=dict)
    evaluate: Evaluation | None = None


def _arm(name: str, settings: _ArmSettings, above: Mapping[str, Arm], data: Mapping[str, str]) -> Arm:
    if settings.of is None:
        base = Arm(name, dict.fromkeys(data))
    elif settings.of in above:
        base = replace(above[settings.of], name=name)
    else:
        raise InputError(f"arm {name!r} is made of {settings.of!r}, which is no arm above it")
    rows = settings.rows
    return replace(
        base,
        rows=base.rows if rows is None else {p: None if n == "all" else n for p, n in rows.items()},
        total=base.total if settings.total is None else settings.total,
        without=tuple(dict.fromkeys((*base.without, *settings.without))),
        refill=base.refill if settings.refill is None else settings.refill,
        plan=base.plan if settings.plan is None else settings.plan,
        changes={**base.changes, **settings.set},
    )


def _read(name: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml", ".toml")):
        text = read_text(regular_file(name, "ablation file"))
    elif name in ablation_names():
        text = resources.files(__package__).joinpath(f"{name}.yaml").read_text("utf-8")
    else:
        raise InputError(
            f"there is no ablation {name!r}; there are: {', '.join(ablation_names())}, and any .yaml or "
            f".toml file"
        )
    return (parse_toml if name.endswith(".toml") else parse_yaml)(text, name)
