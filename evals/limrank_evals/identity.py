"""What a result is a result of. Numbers of different identity never stand in one column unmarked.

A score says nothing without its setting: the published figure of one system at depth 10 is above that of a
better one at depth 100. So a `Result` carries an `Identity`, files hold both, and `limrank_evals.tables`
puts a footnote to every number whose setting is not its column's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from limrank_plugins import __version__
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.configuration import checked
from limrank_plugins.errors import InputError

SCHEMA = "limrank result 1"

# What makes two numbers of one benchmark and split comparable, with how a footnote calls it.
SETTINGS = {
    "first_stage": "first stage",
    "queries": "queries",
    "depth": "depth",
    "prompts": "prompts",
    "qrels": "judgements",
    "ties": "ties",
    "averaging": "averaging",
}
# What says whose numbers they are; it differs between the rows of a table by intention.
SYSTEM = ("recipe", "model", "backend", "version")


@dataclass(frozen=True, slots=True)
class Identity:
    """The setting of a result; "" or None for what is not known or does not apply.

    Attributes:
        benchmark: for example `BRIGHT`.
        split: its task or split, for example `biology`.
        first_stage: what found the candidates, for example `bm25s`.
        queries: which text was searched with, for example `original` or `gpt4_reason`.
        depth: how many candidates were reranked.
        prompts: the prompt or instruction set the model was asked with.
        qrels: which variant of the judgements.
        ties: what put equal scores in order, see `limrank_evals.runs`.
        averaging: what a mean is over, where a benchmark has two ways.
        recipe: how it was reranked.
        model: the model, with its revision where known.
        backend: how the model ran, with what changes scores (precision, samples, reasoning).
        version: of this package; "" for what others published.
    """

    benchmark: str
    split: str = ""
    first_stage: str = ""
    queries: str = ""
    depth: int | None = None
    prompts: str = ""
    qrels: str = ""
    ties: str = ""
    averaging: str = ""
    recipe: str = ""
    model: str = ""
    backend: str = ""
    version: str = __version__

    def __post_init__(self) -> None:
        if not self.benchmark:
            raise InputError("a result's identity needs the name of its benchmark")
        for field_ in fields(self):
            value = getattr(self, field_.name)
            if field_.name != "depth" and not isinstance(value, str):
                raise InputError(f"{field_.name} of a result's identity must be a text, but got {value!r}")
        if self.depth is not None:
            whole_number("depth of a result's identity", self.depth, least=1)

    def setting(self) -> dict[str, str | int | None]:
        """What must be equal for two numbers to stand side by side unmarked."""
        return {name: getattr(self, name) for name in SETTINGS}

    def differences(self, other: Mapping[str, str | int | None]) -> list[str]:
        """What is set otherwise here than in `other`, for a footnote: "depth 10", "first stage unknown"."""
        return [
            f"{SETTINGS[name]} {'unknown' if value in ('', None) else value}"
            for name, value in self.setting().items()
            if value != other[name]
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """Numbers and what they are of.

    Attributes:
        system: what a table calls the row.
        identity: the setting.
        scores: by measure, as ir_measures writes them, in [0, 1] (p-MRR in [-1, 1]).
        intervals: of the scores, for those that have one.
        counts: of queries, documents, failures, by name.
        source: where a published number is from; "" for our own.
    """

    system: str
    identity: Identity
    scores: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        if not self.system:
            raise InputError("a result needs the name of its system")
        for name, value in self.scores.items():
            finite_number(f"the score {name} of {self.system!r}", value)
        strangers = set(self.intervals) - set(self.scores)
        if strangers:
            raise InputError(f"{self.system!r} has intervals of what was not scored: {sorted(strangers)}")

    @property
    def published(self) -> bool:
        """Whether somebody else measured it."""
        return bool(self.source)

    def as_json(self) -> dict[str, Any]:
        """For files; `from_json` is the way back."""
        return {
            "schema": SCHEMA,
            "system": self.system,
            "identity": asdict(self.identity),
            "scores": dict(self.scores),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "counts": dict(self.counts),
            "source": self.source,
        }

    @classmethod
    def from_json(cls, record: Any, where: str = "the result") -> Result:
        """A result from what `as_json` made.

        Raises:
            InputError: it is none, or of another schema; the message begins with `where`.
        """
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise InputError(f"{where} is none of this version: its schema must be {SCHEMA!r}")
        return checked(cls, {name: value for name, value in record.items() if name != "schema"}, where)
