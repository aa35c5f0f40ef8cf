"""What the encoders' objectives have in common: examples by split, their counts, how one is shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from limrank_plugins.errors import InputError
from limrank_training.plans import Plan
from limrank_training.training_data import TrainingData, is_dev


class ExampleView(Protocol):
    """How an example looks to a person."""

    def shown(self, example: Any) -> tuple[str, str]:
        """What the model reads, and a remark on what is learned from it."""


def encoder_data(
    plan: Plan,
    path: str | os.PathLike[str],
    queries: Iterable[Any],
    examples_of: Callable[[list[Any]], tuple[list[Any], dict[str, int]]],
    tokenizer: Any,
    view: ExampleView,
    new_tokens: Sequence[str] = (),
) -> TrainingData:
    """Examples of whole queries, in train or dev.

    Args:
        plan: its share of dev queries.
        path: the file, for messages.
        queries: what was read of it; each has a `query`.
        examples_of: the examples of a split's queries, and their counts as `split_report` makes them.
        tokenizer: see `TrainingData`.
        view: shows an example.
        new_tokens: see `TrainingData`.

    Raises:
        InputError: nothing is left to learn.
    """
    split: dict[bool, list[Any]] = {False: [], True: []}
    for query in queries:
        split[is_dev(query.query, plan)].append(query)
    examples, counts = examples_of(split[False])
    dev, dev_counts = examples_of(split[True])
    if not examples:
        raise InputError(f"nothing of {os.fspath(path)} is learned: no query has a positive, or all are dev")
    report = {"train": counts, "dev": dev_counts}
    return TrainingData(examples, dev, tokenizer, view, examples[0], report, list(new_tokens))


def split_report(queries: int, lengths: Sequence[int], **more: int) -> dict[str, int]:
    """Counts of a split: queries read, examples, tokens in all and of the longest input."""
    return {
        "rows": queries,
        "examples": len(lengths),
        "tokens": sum(lengths),
        "longest": max(lengths, default=0),
    } | more
