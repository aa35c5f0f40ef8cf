"""What a benchmark is to `limrank eval`: where its splits are, what is measured, how one is made ready."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_evals.loaders.benchmark import Benchmark
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
    """

    name: str = ""
    split: str = ""
    group: str = ""
    measures: tuple[str, ...] = ()


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
        first_stage: used where no other is named: `given`, or a retriever.
        depth: how many candidates are reranked, unless told otherwise.
        changed: p-MRR's documents by query, where the benchmark names them.
        averages: the ways to average, the main one first.
        instruction: the benchmark's own for this split, see `limrank_plugins.prompts`; "" for none.
        prompts: what an identity calls the instructions of all its splits.
    """

    benchmark: Benchmark
    measures: tuple[str, ...]
    searched: tuple[Query, ...] = ()
    queries: str = "original"
    candidates: Mapping[str, list[str]] = field(default_factory=dict)
    ordered: bool = True
    first_stage: str = "bm25s"
    depth: int = DEPTH
    changed: Mapping[str, list[str]] | None = None
    averages: tuple[Average, ...] = (Average(),)
    instruction: str = ""
    prompts: str = ""

    def __post_init__(self) -> None:
        ours = [query.id for query in self.benchmark.queries]
        if self.searched and [query.id for query in self.searched] != ours:
            raise InputError(
                f"the queries to search {self.benchmark.name} with are not its own in another wording: "
                f"their ids differ"
            )
        unknown = [one.group for one in self.averages if one.group and one.group not in self.benchmark.groups]
        if unknown or not self.averages:
            raise InputError(f"{self.benchmark.name} has no group of queries {', '.join(unknown)!r}")


Load = Callable[..., Part]
"""`load(split, source, *, strict=True, **options) -> Part`: makes a split ready. Its keyword-only
parameters other than `strict`, annotated as typer wants them, are the benchmark's own options."""


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
        find: the splits of a source under these options, where those are not simply `splits`.
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
        return [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "strict"]

    def chosen(self, splits: Sequence[str], source: str, options: Mapping[str, Any]) -> list[str]:
        """The splits asked for, or all of them that there are under these options.

        Raises:
            InputError: one there is not, or one twice.
        """
        found = self.splits if self.find is None else self.find(source, options)
        known = self.splits or found
        unknown = [split for split in splits if split not in known]
        if unknown:
            raise InputError(f"{self.name} has no split {unknown[0]!r}; it has {', '.join(known)}")
        if len(set(splits)) < len(splits):
            raise InputError(f"a split is named twice: {', '.join(splits)}")
        return list(splits or found)
