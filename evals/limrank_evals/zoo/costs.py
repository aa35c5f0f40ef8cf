"""What each query of a cell cost, kept as it is ranked: a cell that was killed loses nothing of it."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from limrank_plugins.backends.protocols import Program
from limrank_plugins.data import Document, Query, Ranking
from limrank_plugins.errors import CapabilityError, InputError, LimRankError
from limrank_plugins.jobs import Job
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Readout, Settings
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.verdicts import Choice, GroupVerdict

SUMS = (
    "prompt_tokens",
    "shared_tokens",
    "generated_tokens",
    "calls",
    "abstentions",
    "cpu_seconds",
    "seconds",
)


class Unserved(LimRankError):
    """The model cannot serve the recipe: it has no chat template, or a label is not one of its tokens."""


@contextmanager
def unserved() -> Iterator[None]:
    """What is refused in this block, where model and backend are there already, is refused for the recipe."""
    try:
        yield
    except (InputError, CapabilityError) as error:
        raise Unserved(str(error)) from error


class CostedReranker(Reranker):
    """A reranker that keeps what each query cost; call `keep_costs` before it ranks.

    Seconds are those of ranking alone: neither the model's loading nor the first stage's.
    """

    costs: Costs | None = None

    def keep_costs(self, store: Store, *, adds: bool) -> Costs:
        """Keep them in a store's journal from now on.

        Args:
            store: where.
            adds: a query that is asked again costs what it cost before, too: for replies that are stored and
                so not asked for again. Otherwise all of it is asked again, and that is what it costs.
        """
        name = "zoo costs " + hashlib.sha256(self.identity.encode()).hexdigest()
        self.costs = Costs(Job(store, name), adds)
        _count_abstentions(self, self.costs.abstained)
        return self.costs

    def rank_many(
        self,
        jobs: Iterable[tuple[str | Query, Iterable[str | Document]]],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> list[Ranking]:
        """As `Reranker.rank_many`; each query gets an equal share of the time, the first all abstentions."""
        if self.costs is None:
            raise TypeError("keep_costs comes first")
        cpu, wall, before = time.process_time(), time.perf_counter(), self.costs.abstained.count
        with unserved():
            rankings = super().rank_many(jobs, top_n=top_n, threshold=threshold)
        cpu, wall = (
            (now - then) / max(1, len(rankings))
            for now, then in ((time.process_time(), cpu), (time.perf_counter(), wall))
        )
        abstentions = self.costs.abstained.count - before
        for ranking in rankings:
            spent = {"abstentions": abstentions, "cpu_seconds": round(cpu, 3), "seconds": round(wall, 3)}
            self.costs.keep(ranking, spent)
            abstentions = 0
        return rankings


@dataclass
class Tally:
    """A number that grows."""

    count: int = 0


@dataclass
class Costs:
    """The costs of a cell's queries; `abstained` counts the groups of which a model chose no document."""

    job: Job
    adds: bool
    abstained: Tally = field(default_factory=Tally)

    def keep(self, ranking: Ranking, spent: Mapping[str, float]) -> None:
        """Commit what a query's ranking cost."""
        usage, before = ranking.usage, self.job.find(ranking.query.id) if self.adds else None
        spent = {
            **spent,
            "prompt_tokens": usage.prompt_tokens,
            "shared_tokens": usage.shared_tokens,
            "generated_tokens": usage.generated_tokens,
            "calls": usage.calls,
        }
        record: dict[str, Any] = {name: spent[name] + (before or {}).get(name, 0) for name in SUMS}
        record["documents"], record["failures"] = len(ranking), len(ranking.failures)
        record["reason"] = ranking.failures[0].reason if ranking.failures else None
        record["peak_bytes"] = peak_bytes()
        self.job.commit(ranking.query.id, record)

    def of(self, query_ids: Sequence[str]) -> list[dict[str, Any]]:
        """What these queries cost, as far as they were ranked."""
        records = [self.job.find(query_id) for query_id in query_ids]
        return [record for record in records if record is not None]


def peak_bytes() -> int:
    """The most memory this process held so far.

    On Linux not ru_maxrss, which begins with what the parent process held when it started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# ---- abstentions, which no ranking tells ------------------------------------------------------------


@dataclass(frozen=True)
class _Counting:
    """A readout that counts its groups without a choice; it reads, and is called, as the inner one."""

    inner: Readout
    tally: Tally

    def __repr__(self) -> str:  # part of a reranker's identity
        return repr(self.inner)

    @property
    def comparable(self) -> bool:
        return self.inner.comparable

    @property
    def permutes(self) -> bool:
        return self.inner.permutes

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        return self.inner.needs(settings)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[GroupVerdict]:
        verdict = yield from self.inner.ask(query, documents, template, settings)
        if isinstance(verdict, Choice) and verdict.index is None and verdict.failure is None:
            self.tally.count += 1
        return verdict


def _count_abstentions(reranker: Reranker, tally: Tally) -> None:
    for part in reranker.parts:
        _count_abstentions(part, tally)
    if (readout := reranker.recipe.readout) is not None:
        reranker.recipe = replace(reranker.recipe, readout=_Counting(readout, tally))
