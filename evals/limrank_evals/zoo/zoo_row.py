"""One cell of a zoo as its report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limrank_evals.comparison import Comparison, Mean
from limrank_evals.reporting.text_policy import clean
from limrank_evals.zoo.cell import MEASURE
from limrank_evals.zoo.grid import FIRST_STAGE, CellOutcome
from limrank_plugins.unread import Unread


@dataclass(frozen=True, slots=True)
class Row:
    """A cell as it is shown.

    Attributes:
        outcome: what it is of, and why it failed.
        quality: None where nothing was judged.
        against: its comparison with the first stage and with `mini`, by name, as far as both have numbers.
    """

    outcome: CellOutcome
    quality: Mean | None = None
    against: Mapping[str, Comparison] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called: the recipe, and its reasoning where that is not the recipe's own."""
        record = self.outcome.record
        return self.outcome.recipe if record is None or self.is_first else str(record["system"])

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
            **{name: record.get(name) for name in ("documents", "failures", "repairs", "queries")},
            **self.unread.as_json(),
            "cost": record.get("cost"),
            "peak_bytes": record.get("peak_bytes"),
            "identity": record.get("identity"),
            "values": record.get("values"),
        }
