"""Bulk reranking on Ray Data: every actor holds a reranker and takes partitions as it gets done with others.

Ray restarts an actor whose process died and gives its partition to another; nothing of a partition that
was not finished is on disk. Needs `pip install 'limrank[ray]'`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limrank_pipelines.bulk import BulkPlan, Partition, PartitionResult, Worker
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import BackendError, require


class Actor:
    """What an actor of Ray Data does with a batch of partitions."""

    def __init__(self, plan: BulkPlan) -> None:
        self.worker = Worker(plan)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do them, one after the other."""
        rows = zip(*(batch[name].tolist() for name in Partition._fields), strict=True)
        results = [self.worker.work(Partition(*row)) for row in rows]
        return {name: [getattr(result, name) for result in results] for name in PartitionResult._fields}


def work_on_ray(
    plan: BulkPlan,
    left: Sequence[Partition],
    *,
    workers: int,
    address: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
) -> Iterator[PartitionResult]:
    """Do the partitions on a Ray cluster, in whatever order they get done.

    Args:
        plan: its paths must be the same files on every machine of the cluster.
        left: the partitions.
        workers: how many actors, each with a reranker of its own.
        address: of a cluster, as `ray.init` takes it (`"auto"`: the one this machine belongs to); default:
            one on this machine alone, for as long as this takes. Where Ray runs already, that is used.
        cpus: of each actor; default 1.
        gpus: of each actor; default 0.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: a number that cannot be used.
        BackendError: a worker failed for another reason than its death.
    """
    ray = require("ray", "ray", "limrank bulk with workers")
    data = require("ray.data", "ray", "limrank bulk with workers")
    whole_number("workers", workers, least=1)
    if not left:
        return
    ours = not ray.is_initialized()
    if ours:
        local = {"num_cpus": max(1, round(workers * cpus)) + 1, "include_dashboard": False}
        ray.init(
            address=address,
            log_to_driver=False,
            configure_logging=False,
            **(local if address is None else {}),
        )
    try:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = [partition._asdict() for partition in left]
        results = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Actor,
            fn_constructor_args=(plan,),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=min(workers, len(rows)), max_tasks_in_flight_per_actor=1),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        for row in results.iter_rows():
            yield PartitionResult(
                int(row["number"]),
                int(row["queries"]),
                int(row["failures"]),
                int(row["judged"]),
                str(row["reason"]),
            )
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise BackendError(f"a worker failed: {str(cause).strip().splitlines()[-1]}") from error
    finally:
        if ours:
            ray.shutdown()
