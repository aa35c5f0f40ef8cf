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
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from limrank_evals.ablations.arm_evaluation import Evaluation, load_evaluation
from limrank_evals.ablations.components import check_component
from limrank_plugins.errors import InputError, require

EPOCHS, EQUAL = "epochs", "equal"
_SETTINGS = ("about", "plan", "set", "steps", "seed", "reference", "data", "evaluate", "arms")
_OF_ARM = ("of", "rows", "total", "without", "refill", "plan", "set")


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
        good = self.steps in (EPOCHS, EQUAL) or (type(self.steps) is int and self.steps > 0)
        if not good:
            raise InputError(f"steps must be {EPOCHS}, {EQUAL} or a number > 0, but is {self.steps!r}")
        if type(self.seed) is not int:
            raise InputError(f"seed must be a whole number, but is {self.seed!r}")
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


def load_ablation(name: str, given: Mapping[str, Any] | None = None) -> Ablation:
    """A shipped ablation, or that of a `.yaml` or `.toml` file.

    Args:
        name: an ablation's name, or a path.
        given: settings that replace the file's; those in `data`, `set` and `evaluate` one by one.

    Raises:
        InputError: there is no such ablation, or a setting is unknown, missing or senseless.
    """
    read = _read(name)
    for key, value in (given or {}).items():
        if key in ("data", "set", "evaluate"):
            read[key] = {**_table(read.get(key), key), **value}
        else:
            read[key] = value
    _known(read, _SETTINGS, "the ablation")
    tables = _table(read.get("arms"), "arms")
    data = {str(pool): str(path or "") for pool, path in _table(read.get("data"), "data").items()}
    arms: dict[str, Arm] = {}
    for title, spec in tables.items():
        arms[str(title)] = _arm(str(title), _table(spec, f"arm {title}"), arms, data)
    names = ("plan", "steps", "seed", "reference", "about")
    plain: dict[str, Any] = {key: read[key] for key in names if key in read}
    plain.setdefault("reference", next(iter(arms), ""))
    for key in ("plan", "reference", "about"):
        if not isinstance(plain.get(key, ""), str):
            raise InputError(f"{key} of the ablation must be a text, but is {plain[key]!r}")
    told = _table(read.get("evaluate"), "evaluate")
    return Ablation(
        Path(name).stem,
        tuple(arms.values()),
        data,
        changes=_table(read.get("set"), "set"),
        evaluation=load_evaluation(told) if told else None,
        **plain,
    )


def _arm(name: str, spec: dict[str, Any], above: Mapping[str, Arm], data: Mapping[str, str]) -> Arm:
    _known(spec, _OF_ARM, f"arm {name!r}")
    if "of" not in spec:
        base = Arm(name, dict.fromkeys(data))
    elif spec["of"] in above:
        base = replace(above[spec["of"]], name=name)
    else:
        raise InputError(f"arm {name!r} is made of {spec['of']!r}, which is no arm above it")
    without = spec.get("without", [])
    if not isinstance(without, list) or not all(isinstance(one, str) for one in without):
        raise InputError(f"arm {name!r}: without must be a list of components, but is {without!r}")
    refill = spec.get("refill", base.refill)
    if not isinstance(refill, bool):
        raise InputError(f"arm {name!r}: refill must be true or false, but is {refill!r}")
    return replace(
        base,
        rows=_counts(name, spec["rows"]) if "rows" in spec else base.rows,
        total=spec.get("total", base.total),
        without=(*base.without, *(one for one in without if one not in base.without)),
        refill=refill,
        plan=spec.get("plan", base.plan),
        changes={**base.changes, **_table(spec.get("set"), f"set of arm {name!r}")},
    )


def _counts(name: str, rows: Any) -> dict[str, int | None]:
    counts = _table(rows, f"rows of arm {name!r}")
    return {str(pool): None if count in ("all", None) else count for pool, count in counts.items()}


def _read(name: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml", ".toml")):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"there is no ablation file {name!r}")
        text = path.read_text("utf-8")
    elif name in ablation_names():
        text = resources.files(__package__).joinpath(f"{name}.yaml").read_text("utf-8")
    else:
        raise InputError(
            f"there is no ablation {name!r}; there are: {', '.join(ablation_names())}, and any .yaml or "
            f".toml file"
        )
    try:
        if name.endswith(".toml"):
            return tomllib.loads(text)
        yaml = require("yaml", "training", "ablations as YAML")
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not valid TOML: {error}") from error
    return dict(_table(found, name))


def _table(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{what} must be a table, but is {value!r}")
    return value


def _known(given: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    unknown = sorted(str(key) for key in given if key not in known)
    if unknown:
        raise InputError(f"{what} has no setting {unknown[0]!r}; there are: {', '.join(known)}")
