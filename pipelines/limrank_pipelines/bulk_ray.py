"""Bulk reranking on Ray Data: every actor holds a reranker and takes partitions as it gets done with others.

Ray restarts an actor whose process died and gives its partition to another; nothing of a partition that
was not finished is on disk. Needs `pip install 'limrank[ray]'`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from limrank_pipelines.bulk import BulkPlan, Partition, PartitionResult, Worker
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.errors import BackendError, InputError, require
from limrank_plugins.wording import shortened

_MOST = 1_000_000
_PATIENCE = 5.0  # seconds: Ray itself tries for half a minute
_OF_THIS_MACHINE = ("auto", "local")


class Actor:
    """What an actor of Ray Data does with a batch of partitions."""

    def __init__(self, plan: BulkPlan) -> None:
        self.worker = Worker(plan)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do them, one after the other."""
        rows = zip(*(batch[name].tolist() for name in Partition._fields), strict=True)
        results = [self.worker.work(Partition(*row)) for row in rows]
        return {name: [getattr(result, name) for result in results] for name in PartitionResult._fields}


def check_actors(cpus: float, gpus: float) -> None:
    """Raise an `InputError` for a number of CPUs or GPUs that no actor can have."""
    finite_number("the CPUs of an actor (--cpus)", cpus, least=0, most=_MOST)
    finite_number("the GPUs of an actor (--gpus)", gpus, least=0, most=_MOST)
    if gpus > 1 and gpus != int(gpus):
        raise InputError(f"the GPUs of an actor (--gpus) must be a whole number above 1, but got {gpus}")


def check_address(address: str, *, reach: bool = True) -> None:
    """Look at the address of a Ray cluster, and whether anything answers there.

    Args:
        address: see `work_on_ray`.
        reach: whether it must answer now.

    Raises:
        InputError: it is no such address.
        BackendError: nothing answers there within seconds.
    """
    if address in _OF_THIS_MACHINE:
        return
    parts = _parsed(address)
    if not reach:
        return
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_PATIENCE).close()
    except (OSError, UnicodeError) as error:
        raise BackendError(
            f"nothing answers at {address}, the address of the Ray cluster ({error}): start it there, or "
            f"correct --address"
        ) from error


def _parsed(address: str) -> SplitResult:
    """The address as host and port."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        is_whole = bool(parts.hostname and parts.port)
    except ValueError:  # a port above 65535
        is_whole = False
    if not is_whole or parts.scheme not in ("", "ray") or parts.path or parts.query or parts.fragment:
        raise InputError(
            f"the address of a Ray cluster must be host:port (a port from 1 to 65535), ray://host:port or "
            f"auto, but got {shortened(repr(address))}"
        )
    return parts


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
        InputError: a number or an address that cannot be used.
        BackendError: the cluster cannot be reached, or a worker failed for another reason than its death.
    """
    whole_number("workers", workers, least=1)
    check_actors(cpus, gpus)
    if address is not None:
        check_address(address, reach=bool(left))
    ray = require("ray", "ray", "limrank bulk with workers")
    data = require("ray.data", "ray", "limrank bulk with workers")
    if not left:
        return
    actors = min(workers, len(left))
    ours = not ray.is_initialized()
    if ours:
        local = {"num_cpus": max(1, round(actors * cpus)) + 1, "include_dashboard": False}
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                configure_logging=False,
                **(local if address is None else {}),
            )
        except (OSError, RuntimeError, ValueError) as error:
            where = "on this machine" if address is None else f"at {address}"
            reason = str(error).strip().partition("\n")[0]
            raise BackendError(f"Ray could not be reached or started {where}: {reason}") from error
    try:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = [partition._asdict() for partition in left]
        results = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Actor,
            fn_constructor_args=(plan,),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1),
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
