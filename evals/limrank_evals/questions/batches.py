"""Items of a job in batches: what is finished is not done again, what is done is committed at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from limrank_plugins.jobs import Job

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

Progress = Callable[[str, int, int], None]
"""Called with the stage, how much of it is done, and of how much."""


def run_batches(
    job: Job,
    items: Mapping[str, Item],
    work: Callable[[Sequence[Item]], Sequence[Outcome]],
    read: Callable[[Mapping[str, Any]], Outcome],
    write: Callable[[Outcome], Mapping[str, Any] | None],
    *,
    stage: str,
    batch: int,
    progress: Progress,
) -> list[Outcome]:
    """The outcomes of all items, in their order.

    Args:
        job: where each outcome is committed.
        items: by the name under which its outcome is kept.
        work: does a batch of them.
        read: an outcome from its record.
        write: an outcome's record; None for one that a later run must do again.
        stage: what `progress` calls it.
        batch: how many items are done and committed together.
        progress: called before every batch and at the end.
    """
    found = {name: read(record) for name in items if (record := job.find(name)) is not None}
    # What is not kept today may have been kept by an earlier version.
    outcomes = {name: outcome for name, outcome in found.items() if write(outcome) is not None}
    rest = [name for name in items if name not in outcomes]
    for start in range(0, len(rest), batch):
        progress(stage, len(outcomes), len(items))
        names = rest[start : start + batch]
        for name, outcome in zip(names, work([items[name] for name in names]), strict=True):
            outcomes[name] = outcome
            if (record := write(outcome)) is not None:
                job.commit(name, record)
    progress(stage, len(items), len(items))
    return [outcomes[name] for name in items]
