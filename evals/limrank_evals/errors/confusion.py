"""How often a passage of one kind outranks a passage of a better kind.

The paper's finding: a passage that helps indirectly is scored as high as one that answers, where the query
wants the answer. Here a pair is one such passage and one better one of the same query, both ranked and both
judged by the model; it is confused if the first stands above the second. The rate of a query is its share of
confused pairs, the rate of a relation the mean over the queries that have a pair: a query with fifty
passages counts as much as one with two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from limrank_evals.comparison import Mean, Resampling, ends
from limrank_evals.errors.detailed_run import RunHit
from limrank_evals.errors.kinds import Wish, sort_of
from limrank_evals.stats import Interval, wilson

# Which sorts are compared, the worse one first; `relevant` is direct and indirect together.
SORT_PAIRS = (
    ("indirect", "direct"),
    ("negative", "direct"),
    ("negative", "indirect"),
    ("negative", "relevant"),
)


class Case(NamedTuple):
    """A confused pair: the best-placed worse passage, and the best-placed better one below it."""

    query: str
    worse: RunHit
    worse_kind: str
    better: RunHit
    better_kind: str

    @property
    def weight(self) -> float:
        """How much it matters: the difference of the two reciprocal ranks, in (0, 1)."""
        return 1 / self.worse.rank - 1 / self.better.rank


class Pairs(NamedTuple):
    """The pairs of one query.

    Attributes:
        pairs: how many.
        confused: those with the worse passage on top.
        tied: those with equal scores; None without scores.
        gap: mean of the better one's score less the worse one's; None without scores.
        first: whether the best-placed of all is a worse one.
        case: the best-placed worse passage and the best-placed better one below it, or None.
    """

    pairs: int
    confused: int
    tied: int | None
    gap: float | None
    first: bool
    case: tuple[RunHit, RunHit] | None

    @property
    def rate(self) -> float:
        """The share of confused pairs."""
        return self.confused / self.pairs


@dataclass(frozen=True, slots=True)
class Relation:
    """Two kinds (or sorts), the worse one first, and the pairs of every query that has any."""

    worse: str
    better: str
    by_query: Mapping[str, Pairs]

    @property
    def rates(self) -> dict[str, float]:
        """The share of confused pairs, by query."""
        return {query: pairs.rate for query, pairs in self.by_query.items()}

    def rate(self, resampling: Resampling) -> Mean | None:
        """The mean over queries; None where no query has a pair."""
        return resampling.mean(list(self.rates.values()))

    def gap(self, resampling: Resampling) -> Mean | None:
        """The mean over queries of how much higher the better passages are scored; None without scores."""
        return resampling.mean([pairs.gap for pairs in self.by_query.values() if pairs.gap is not None])

    def first(self, level: float) -> tuple[int, Interval | None]:
        """On how many queries the best-placed passage of the two kinds is a worse one; Wilson's interval."""
        count = sum(pairs.first for pairs in self.by_query.values())
        return count, wilson(count, len(self.by_query), level=level)

    def as_json(self, resampling: Resampling) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        rate, gap = self.rate(resampling), self.gap(resampling)
        first, interval = self.first(resampling.level)
        tied = [pairs.tied for pairs in self.by_query.values() if pairs.tied is not None]
        return {
            "worse": self.worse,
            "better": self.better,
            "queries": len(self.by_query),
            "pairs": sum(pairs.pairs for pairs in self.by_query.values()),
            "confused": sum(pairs.confused for pairs in self.by_query.values()),
            "tied": sum(tied) if tied else None,
            "rate": None if rate is None else rate.as_json(),
            "gap": None if gap is None else gap.as_json(),
            "worse_is_first": {"queries": first, "interval": ends(interval)},
        }


@dataclass(frozen=True, slots=True)
class Confusion:
    """What is confused with what.

    Attributes:
        sorts: the relations of `SORT_PAIRS` that have a pair.
        matrix: every kind against every kind of a better sort.
        negatives: every kind of negative against all relevant passages, the most confused first.
        counts: `queries` with kinds; `not_wanting_direct`, which are left out of direct against indirect;
            passages with a kind that are `not_ranked` or `failed`, which are in no pair.
    """

    sorts: tuple[Relation, ...]
    matrix: tuple[Relation, ...]
    negatives: tuple[Relation, ...]
    counts: Mapping[str, int]

    def relation(self, worse: str, better: str) -> Relation | None:
        """The relation of two sorts, or None where it has no pair."""
        return next(
            (relation for relation in self.sorts if (relation.worse, relation.better) == (worse, better)),
            None,
        )

    def cases(self, kinds: Mapping[str, Mapping[str, str]], most: int) -> list[Case]:
        """The confused pairs that matter most: of direct with indirect, then of relevant with negative.

        One for every query and of either sort, no more than `most` each; equal ones by id.
        """
        cases: list[Case] = []
        for worse, better in (SORT_PAIRS[0], SORT_PAIRS[3]):
            relation = self.relation(worse, better)
            of_sort = [
                Case(query, pair[0], kinds[query][pair[0].document], pair[1], kinds[query][pair[1].document])
                for query, pairs in (relation.by_query.items() if relation else ())
                if (pair := pairs.case) is not None
            ]
            cases += sorted(of_sort, key=lambda case: (-case.weight, case.query))[: max(0, most)]
        return cases


def confusion_of(
    lists: Mapping[str, Sequence[RunHit]],
    kinds: Mapping[str, Mapping[str, str]],
    wishes: Mapping[str, Wish] | None = None,
    among: Mapping[str, Collection[str]] | None = None,
) -> Confusion:
    """Count the pairs of every query.

    Args:
        lists: the run.
        kinds: of the documents that have one.
        wishes: what queries want; a query that is not named, or all of them without this, wants the
            direct answer. To one that wants something else, indirect passages are as good as direct ones.
        among: the documents to look at, by query; None for all.
    """
    wishes = wishes or {}
    groups: dict[str, dict[str, list[RunHit]]] = {}
    counts = dict.fromkeys(("queries", "not_wanting_direct", "not_ranked", "failed"), 0)
    for query, by_document in kinds.items():
        here = groups.setdefault(query, {})
        counts["queries"] += 1
        counts["not_wanting_direct"] += wishes.get(query, "direct") != "direct"
        ranked = {hit.document: hit for hit in lists.get(query, ())}
        for document, kind in by_document.items():
            if among is not None and document not in among.get(query, ()):
                continue
            hit = ranked.get(document)
            if hit is None:
                counts["not_ranked"] += 1
            elif hit.failure is not None:
                counts["failed"] += 1
            else:
                here.setdefault(kind, []).append(hit)
    names = sorted({kind for here in groups.values() for kind in here}, key=_place)

    def related(worse: str, better: str, *, kind: bool = False) -> Relation:
        by_query = {}
        for query in sorted(groups):
            if worse.startswith("indirect") and wishes.get(query, "direct") != "direct":
                continue
            sides = [
                groups[query].get(name, []) if kind and name != "relevant" else _of_sort(groups[query], name)
                for name in (worse, better)
            ]
            pairs = _pairs(*sides)
            if pairs is not None:
                by_query[query] = pairs
        return Relation(worse, better, by_query)

    def there(relations: Iterable[Relation]) -> tuple[Relation, ...]:
        return tuple(relation for relation in relations if relation.by_query)

    negatives = there(related(name, "relevant", kind=True) for name in names if sort_of(name) == "negative")
    return Confusion(
        there(related(*pair) for pair in SORT_PAIRS),
        there(
            related(worse, better, kind=True)
            for better in names
            for worse in names
            if (sort_of(worse), sort_of(better)) in SORT_PAIRS
        ),
        tuple(sorted(negatives, key=lambda hit: (-sum(hit.rates.values()) / len(hit.rates), hit.worse))),
        counts,
    )


def _place(kind: str) -> tuple[int, str]:
    return ("direct", "indirect", "negative").index(sort_of(kind)), kind


def _of_sort(here: Mapping[str, list[RunHit]], name: str) -> list[RunHit]:
    """The documents of a sort, or all relevant ones."""
    sorts = ("direct", "indirect") if name == "relevant" else (name,)
    return [hit for kind, hits in here.items() if sort_of(kind) in sorts for hit in hits]


def _pairs(worse: Sequence[RunHit], better: Sequence[RunHit]) -> Pairs | None:
    if not worse or not better:
        return None
    worse, better = sorted(worse, key=_rank), sorted(better, key=_rank)
    above = np.array([hit.rank for hit in worse])[:, None] < np.array([hit.rank for hit in better])[None, :]
    scores = [[hit.score for hit in side if hit.score is not None] for side in (worse, better)]
    tied, gap = None, None
    if scores[0] and scores[1]:
        low, high = (np.array(side) for side in scores)
        tied = int((low[:, None] == high[None, :]).sum())
        gap = float(high.mean() - low.mean())  # the mean over all pairs
    # What stands in the way of the better ones, and how far it is to the first of those it pushed down.
    case = (worse[0], better[int(above[0].argmax())]) if above[0].any() else None
    return Pairs(above.size, int(above.sum()), tied, gap, worse[0].rank < better[0].rank, case)


def _rank(hit: RunHit) -> int:
    return hit.rank
