"""What a benchmark is to `limrank eval`: its splits, its options, and how a split is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_evals.splits import DEPTH, Split
from limrank_plugins.errors import InputError

Load = Callable[..., Split]
"""`load(split, source, *, strict=True, **options) -> Split`: makes a split ready. Its keyword-only
parameters are the benchmark's own options, described in `Task.helps`; but `strict` and `first_stage` (for
benchmarks too large to be read but for a run's documents) are every command's."""
IMAGES = "Show the images, too; all are in memory at once."
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
        first_stage: as `Split.first_stage`, for `--help`.
        depth: as `Split.depth`, for `--help`.
        helps: what `--help` says of each of the benchmark's own options, by name.
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
    helps: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> list[inspect.Parameter]:
        """The benchmark's own options."""
        parameters = inspect.signature(self.load).parameters.values()
        return [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _COMMON]

    def load_split(self, split: str, source: str, *, strict: bool, first_stage: str, **options: Any) -> Split:
        """A split made ready; `options` are the benchmark's own."""
        wants = "first_stage" in inspect.signature(self.load).parameters
        known = {"first_stage": first_stage} if wants else {}
        return self.load(split, source, strict=strict, **known, **options)

    def choose_splits(self, splits: Sequence[str], source: str, options: Mapping[str, Any]) -> list[str]:
        """The splits asked for, or all of them that there are under these options.

        Raises:
            InputError: one there is not, or one twice.
        """
        available = self.splits if self.find is None else self.find(source, options)
        known = self.splits or available
        if not (splits or available):
            raise InputError(f"name the splits of {source} that {self.name} is to measure: --split NAME")
        unknown = [split for split in splits if known and split not in known]
        if unknown:
            raise InputError(f"{self.name} has no split {unknown[0]!r}; it has {', '.join(known)}")
        if len(set(splits)) < len(splits):
            raise InputError(f"a split is named twice: {', '.join(splits)}")
        return list(splits or available)
