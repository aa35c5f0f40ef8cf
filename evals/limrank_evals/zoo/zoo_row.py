"""One cell of a zoo as its report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from limrank_evals.comparison import Comparison, Mean
from limrank_evals.reporting.text_policy import clean
from limrank_evals.zoo.cell import MEASURE
from limrank_evals.zoo.grid import FIRST_STAGE, CellOutcome
from limrank_plugins.unread import Unread


@dataclass(frozen=True, slots=True)
class Shares:
    """What a cell has of the one in which the same recipe reasons about every document.

    Attributes:
        quality: its share of that one's measure; None where that is 0.
        written: of the tokens that it writes; None where that writes none.
        computed: of the tokens that it reads and writes, what prompts have in common read once.
    """

    quality: float | None
    written: float | None
    computed: float | None

    @classmethod
    def of(cls, own: Mapping[str, Any], full: Mapping[str, Any]) -> Self | None:
        """From two cells' records; None where either has no number."""
        if not (own.get("values") and full.get("values") and own.get("cost") and full.get("cost")):
            return None
        return cls(
            _share(*(sum(record["values"].values()) for record in (own, full))),
            _share(*(record["cost"]["generated_tokens"] for record in (own, full))),
            _share(*map(_computed, (own["cost"], full["cost"]))),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A cell as it is shown.

    Attributes:
        outcome: what it is of, and why it failed.
        quality: None where nothing was judged.
        against: its comparison with the first stage, with `mini`, and with full reasoning where several are
            compared, by name, as far as both have numbers.
        shares: of full reasoning; None where that is not compared.
    """

    outcome: CellOutcome
    quality: Mean | None = None
    against: Mapping[str, Comparison] = field(default_factory=dict)
    shares: Shares | None = None

    @property
    def name(self) -> str:
        """What it is called: the recipe, and its reasoning where that is not its own or has several."""
        record = self.outcome.record
        if record is None or self.is_first or self.outcome.full:
            return self.outcome.recipe
        return str(record["system"])

    @property
    def is_first(self) -> bool:
        """Whether nothing was reranked."""
        return self.outcome.recipe == FIRST_STAGE

    @property
    def why(self) -> str:
        """Why it failed, judged nothing, or did not judge a document."""
        record = self.outcome.record
        return clean(self.outcome.failed or str((record or {}).get("why") or ""))

    @property
    def unread(self) -> Unread:
        """What of queries and documents its model did not read; cells of before do not say."""
        return Unread(**(self.outcome.record or {}).get("unread", {}))

    def per_query(self, *names: str) -> float | None:
        """The sum of some of its costs, for a query; None where they are not known."""
        record = self.outcome.record
        if record is None or not record.get("cost") or not record["queries"]:
            return None
        return float(sum(record["cost"][name] for name in names)) / float(record["queries"])

    @property
    def tokens(self) -> float | None:
        """Tokens read and written for a query."""
        return self.per_query("prompt_tokens", "generated_tokens")

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        record = self.outcome.record or {}
        return {
            "recipe": self.outcome.recipe,
            "system": self.name,
            "failed": self.outcome.failed or None,
            "why": self.why or None,
            MEASURE: None if self.quality is None else self.quality.as_json(),
            "against": {name: one.as_json(0) for name, one in self.against.items()},
            **({"chance": record.get("chance")} if self.is_first else {}),
            **({} if self.shares is None else {"share_of_full": asdict(self.shares)}),
            **{name: record.get(name) for name in ("documents", "failures", "repairs", "queries")},
            **self.unread.as_json(),
            "cost": record.get("cost"),
            "peak_bytes": record.get("peak_bytes"),
            "identity": record.get("identity"),
            "values": record.get("values"),
        }


def _computed(cost: Mapping[str, Any]) -> float:
    return float(cost["prompt_tokens"] - cost["shared_tokens"] + cost["generated_tokens"])


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
