"""A split of a benchmark with its protocol: what is searched, reranked, measured and averaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.measures import OwnMeasure
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError

DEPTH = 100
GIVEN = "given"
"""How `--first-stage` calls the lists that come with a benchmark."""


@dataclass(frozen=True, slots=True)
class Average:
    """One way to average a split's queries.

    Attributes:
        name: what an identity calls it; "" for all judged queries.
        split: what an identity calls the split, where a part of it is meant; "" for the split itself.
        group: of `Benchmark.groups`; "" for all judged queries.
        measures: what is reported of it; () for everything that is measured.
        over: groups whose means are averaged, each counting the same; () for a mean over queries.
    """

    name: str = ""
    split: str = ""
    group: str = ""
    measures: tuple[str, ...] = ()
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """One split, ready to be ranked and scored.

    Attributes:
        benchmark: queries as a reranker is shown them, documents, judgements.
        measures: what is measured, the one that the benchmark is known by first.
        searched: the queries a first stage searches with, where they are others, in the same order.
        queries: what an identity calls the queries that are searched with.
        lists: what an identity calls the benchmark's lists of candidates.
        first_stage: used where no other is named: `given`, or a retriever.
        depth: how many candidates are reranked, unless told otherwise.
        own: measures that ir_measures does not have, by name.
        averages: the ways to average, the main one first.
        instruction: the benchmark's own for this split, see `limrank_plugins.prompts`; "" for none.
        prompts: what an identity calls the instructions of all its splits.
        carried: what it calls those that the queries carry; "" where they carry none.
    """

    benchmark: Benchmark
    measures: tuple[str, ...]
    searched: tuple[Query, ...] = ()
    queries: str = "original"
    lists: str = "given with the benchmark"
    first_stage: str = "bm25s"
    depth: int = DEPTH
    own: Mapping[str, OwnMeasure] = field(default_factory=dict)
    averages: tuple[Average, ...] = (Average(),)
    instruction: str = ""
    prompts: str = ""
    carried: str = ""

    @property
    def judgements_digest(self) -> str:
        """Of judgements, exclusions and changed documents."""
        benchmark = self.benchmark
        excluded = {query: sorted(documents) for query, documents in benchmark.excluded.items()}
        text = json.dumps([benchmark.qrels, excluded, benchmark.changed], sort_keys=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def __post_init__(self) -> None:
        query_ids = [query.id for query in self.benchmark.queries]
        if self.searched and [query.id for query in self.searched] != query_ids:
            raise InputError(
                f"the queries to search {self.benchmark.name} with are not its own in another wording: "
                f"their ids differ"
            )
        groups = [group for average in self.averages for group in (average.group, *average.over) if group]
        unknown = [group for group in groups if group not in self.benchmark.groups]
        if unknown or not self.averages:
            raise InputError(f"{self.benchmark.name} has no group of queries {', '.join(unknown)!r}")
