"""What can be named as a collection of the zoo: `samples`, a folder, or a benchmark's split."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.splits import Split
from limrank_evals.tasks import Task, load_task, task_names
from limrank_plugins import samples
from limrank_plugins.corpus import is_samples
from limrank_plugins.errors import InputError

SAMPLES, _FOLDER, _SPLIT = "samples", "folder", "test"
_TEXTS = (".jsonl", ".tsv", ".trec", ".txt", ".gz")


@dataclass(frozen=True, slots=True)
class Collection:
    """One split to be measured.

    Attributes:
        label: what tables and folders call it.
        benchmark: the task's name, or `samples`.
        split: of the benchmark.
        source: a folder or the hub's repository.
    """

    label: str
    benchmark: str
    split: str
    source: str

    def task(self, queries: int | None) -> Task:
        """The task that loads it, with the first judged queries alone where a number is given."""
        task = _SAMPLES if self.benchmark == SAMPLES else load_task(self.benchmark)
        if queries is None:
            return task

        @functools.wraps(task.load)  # whose parameters say what the loader can be told
        def load(*args: Any, **named: Any) -> Split:
            return first_queries(task.load(*args, **named), queries)

        return replace(task, load=load)

    def digest(self) -> str:
        """Of a folder's files; "" for what is not a folder, whose texts the evaluation itself compares."""
        if self.benchmark == SAMPLES or not (place := Path(self.source)).is_dir():
            return ""
        digest = hashlib.sha256()
        for file in sorted([*place.glob("*"), *place.glob("qrels/*")]):
            if file.is_file() and file.suffix in _TEXTS:
                with file.open("rb") as stream:
                    held = hashlib.file_digest(stream, "sha256").hexdigest()
                digest.update(f"{file.relative_to(place).as_posix()}\0{held}\0".encode("utf-8", "replace"))
        return digest.hexdigest()


def find_collections(names: Iterable[str]) -> list[Collection]:
    """The collections of these names, in their order.

    Args:
        names: `samples` (unless a file or folder here has that name); a folder (all its splits) or
            `folder:split`; `benchmark:split` as in `limrank eval benchmark -t split`, with `=source` behind
            it for another source.

    Raises:
        InputError: there is no such collection, or two would have one name.
    """
    chosen = [collection for name in names for collection in _named(name)]
    labels = [collection.label for collection in chosen]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise InputError(f"two collections are called {twice[0]!r}: name each once, or rename a folder")
    return chosen


def first_queries(split: Split, count: int) -> Split:
    """The split with its first judged queries alone, and their judgements."""
    benchmark = split.benchmark
    kept = [query for query in benchmark.queries if query.id in benchmark.qrels][:count]
    ids = {query.id for query in kept}
    smaller = replace(
        benchmark,
        queries=tuple(kept),
        qrels={query: grades for query, grades in benchmark.qrels.items() if query in ids},
        candidates={query: candidates for query, candidates in benchmark.candidates.items() if query in ids},
    )
    return replace(
        split, benchmark=smaller, searched=tuple(query for query in split.searched if query.id in ids)
    )


def file_name(text: str) -> str:
    """A name that can stand as a folder's on any system."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "_"


def _named(name: str) -> list[Collection]:
    if is_samples(name):
        return [Collection(SAMPLES, SAMPLES, _SPLIT, "the package")]
    if Path(name).is_dir():
        return _folder(name, load_task(_FOLDER).choose_splits([], name, {}))
    place, _, split = name.rpartition(":")
    if place and Path(place).is_dir():
        return _folder(place, load_task(_FOLDER).choose_splits([split], place, {}), names_split=True)
    benchmark, colon, rest = name.partition(":")
    if not colon or benchmark not in task_names() or benchmark == _FOLDER:
        known = ", ".join(task for task in task_names() if task != _FOLDER)
        raise InputError(
            f"there is no collection {name!r}: name {SAMPLES}, a folder with corpus, queries and judgements, "
            f"or benchmark:split (benchmarks: {known})"
        )
    split, _, source = rest.partition("=")
    task = load_task(benchmark)
    if not (source or task.source):
        raise InputError(f"say where {benchmark} is: {benchmark}:{split}=folder")
    source = source or task.source
    chosen = task.choose_splits([split] if split else [], source, {})
    return [Collection(file_name(f"{benchmark}-{one}"), benchmark, one, source) for one in chosen]


def _folder(place: str, splits: list[str], *, names_split: bool = False) -> list[Collection]:
    base = Path(place).resolve().name
    several = names_split or len(splits) > 1
    return [Collection(file_name(f"{base}-{s}" if several else base), _FOLDER, s, place) for s in splits]


def _load_samples(split: str, source: str, *, strict: bool = True) -> Split:
    benchmark = Benchmark(SAMPLES, split, tuple(samples.queries()), samples.documents(), samples.qrels())
    return Split(benchmark, ("nDCG@10",))


_SAMPLES = Task(SAMPLES, "The sample collection.", "", _load_samples, (_SPLIT,), "the package")
