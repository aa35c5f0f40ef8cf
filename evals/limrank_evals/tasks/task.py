"""What a benchmark is to `limrank eval`: where its splits are, what is measured, how one is made ready."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
class Part:
    """One split, ready to be ranked and scored.

    Attributes:
        benchmark: queries as a reranker is shown them, documents, judgements.
        measures: what is measured, the one that the benchmark is known by first.
        searched: the queries a first stage searches with, where they are others, in the same order.
        queries: what an identity calls the queries that are searched with.
        candidates: for every query the documents to be ranked, where the benchmark gives them.
        ordered: the candidates are a ranking, best first; else they are what is searched.
        lists: what an identity calls the candidates.
        first_stage: used where no other is named: `given`, or a retriever.
        depth: how many candidates are reranked, unless told otherwise.
        changed: p-MRR's documents by query, where the benchmark names them.
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
    candidates: Mapping[str, list[str]] = field(default_factory=dict)
    ordered: bool = True
    lists: str = "given with the benchmark"
    first_stage: str = "bm25s"
    depth: int = DEPTH
    changed: Mapping[str, list[str]] | None = None
    own: Mapping[str, OwnMeasure] = field(default_factory=dict)
    averages: tuple[Average, ...] = (Average(),)
    instruction: str = ""
    prompts: str = ""
    carried: str = ""

    def __post_init__(self) -> None:
        ours = [query.id for query in self.benchmark.queries]
        if self.searched and [query.id for query in self.searched] != ours:
            raise InputError(
                f"the queries to search {self.benchmark.name} with are not its own in another wording: "
                f"their ids differ"
            )
        groups = [group for one in self.averages for group in (one.group, *one.over) if group]
        unknown = [group for group in groups if group not in self.benchmark.groups]
        if unknown or not self.averages:
            raise InputError(f"{self.benchmark.name} has no group of queries {', '.join(unknown)!r}")


Load = Callable[..., Part]
"""`load(split, source, *, strict=True, **options) -> Part`: makes a split ready. Its keyword-only
parameters, annotated as typer wants them, are the benchmark's own options; but `strict` and `first_stage`
(for benchmarks too large to be read but for a run's documents) are every command's."""
_COMMON = ("strict", "first_stage")


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark as a declaration.

    Attributes:
        name: of the command.
        title: what it is, with its paper; one line.
        about: its protocol, as `--help` tells it.
        splits: all of them; () where the source says which there are.
        load: makes one split ready; raises an `InputError` for what is wrong with it.
        source: the hub's repository, as it is shown; "" where a folder must be named.
        find: the splits of a source under these options, where those are not simply `splits`; () where
            it cannot be known, and they must be named.
        first_stage: as `Part.first_stage`, for `--help`.
        depth: as `Part.depth`, for `--help`.
    """

    name: str
    title: str
    about: str
    load: Load
    splits: tuple[str, ...] = ()
    source: str = ""
    find: Callable[[str, Mapping[str, Any]], tuple[str, ...]] | None = None
    first_stage: str = "bm25s"
    depth: int = DEPTH

    def options(self) -> list[inspect.Parameter]:
        """The benchmark's own options."""
        parameters = inspect.signature(self.load, eval_str=True).parameters.values()
        return [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _COMMON]

    def part(self, split: str, source: str, *, strict: bool, first_stage: str, **options: Any) -> Part:
        """A split made ready; `options` are the benchmark's own."""
        wants = "first_stage" in inspect.signature(self.load).parameters
        known = {"first_stage": first_stage} if wants else {}
        return self.load(split, source, strict=strict, **known, **options)

    def chosen(self, splits: Sequence[str], source: str, options: Mapping[str, Any]) -> list[str]:
        """The splits asked for, or all of them that there are under these options.

        Raises:
            InputError: one there is not, or one twice.
        """
        found = self.splits if self.find is None else self.find(source, options)
        known = self.splits or found
        if not (splits or found):
            raise InputError(f"name the splits of {source} that {self.name} is to measure: --split NAME")
        unknown = [split for split in splits if known and split not in known]
        if unknown:
            raise InputError(f"{self.name} has no split {unknown[0]!r}; it has {', '.join(known)}")
        if len(set(splits)) < len(splits):
            raise InputError(f"a split is named twice: {', '.join(splits)}")
        return list(splits or found)
