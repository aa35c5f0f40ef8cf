"""Reranking in bulk: jobs cut into partitions, each written whole or not at all, by whoever gets there.

A job is a query and its passages, one line of a JSONL file (`bulk_jobs`). A partition is `size` lines of it
and becomes one file, `part-00000.jsonl` and so on, of `ranking_record`s in the order of the jobs. A partition
whose file is there is done: a rerun, or another worker after a kill, computes only the others. `bulk.json`
says what the folder holds, so that the rankings of two files of jobs never share one.

A partition with documents that could not be judged is not done: it becomes `part-00000.incomplete.jsonl`, and
a rerun ranks those of its queries that have failures. Where not one document could be judged, nothing is
written. What a model has replied is kept in a store the moment it arrives, so that a partition done anew asks
only for what had not come.

Partitions are files and no `limrank_plugins.jobs.Job`, because workers on other machines share a folder, in
which SQLite's locks cannot be relied on, and because a partition's file is the result itself.

Files side by side in the order of their names are a run that `limrank_plugins.io.read_run` reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from limrank_pipelines.bulk_jobs import job_line, parse_job, write_jobs
from limrank_plugins.begun_anew import NEW
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_line, json_rows, read_json_object
from limrank_plugins.io import ranking_record
from limrank_plugins.locks import LOCK, alone_in
from limrank_plugins.outputs import check_ours, make_folder, write_whole
from limrank_plugins.pipes import regular_file
from limrank_plugins.ranking_job import judged_documents, made_by
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.wording import shortened

MANIFEST = "bulk.json"
_FORMAT = 1
_OURS = re.compile(r"part-[0-9]{5,}(\.incomplete)?\.jsonl|bulk\.json")
_SECRET = ("api_key", "token")


class Partition(NamedTuple):
    """Lines of the file of jobs: the bytes from `start` to `end`, of which the first is line `line`."""

    number: int
    start: int
    end: int
    line: int

    @property
    def name(self) -> str:
        """Its file in the output folder."""
        return f"part-{self.number:05}.jsonl"

    @property
    def incomplete_name(self) -> str:
        """Its file as long as documents of it could not be judged."""
        return f"part-{self.number:05}.incomplete.jsonl"


class PartitionResult(NamedTuple):
    """What became of a partition.

    Attributes:
        number: the partition's.
        queries: how many were ranked now.
        failures: how many documents of the partition could not be judged.
        judged: how many could.
        reason: why the first one could not; "" where all could.
    """

    number: int
    queries: int
    failures: int
    judged: int = 0
    reason: str = ""


@dataclass(frozen=True)
class BulkPlan:
    """All that a worker needs to know. It travels to other processes.

    Attributes:
        jobs: the file of jobs, which every worker can read.
        folder: where the partitions go, which every worker can write.
        make: makes the reranker; called once in every worker.
        batch: how many queries are ranked in lockstep; default 1.
        top_n: how many hits of a query are written; default None, all.
        open_store: opens where replies are kept; called once in every worker. Default: they are not kept.
    """

    jobs: Path
    folder: Path
    make: Callable[[], Reranker]
    batch: int = 1
    top_n: int | None = None
    open_store: Callable[[], Store] | None = None


class Worker:
    """Ranks partitions with a reranker and a store of its own."""

    def __init__(self, plan: BulkPlan) -> None:
        self.plan = plan
        self.reranker = plan.make()
        if plan.open_store is not None:
            self.reranker.store = plan.open_store()

    def close(self) -> None:
        """Close the reranker and the store."""
        self.reranker.close()
        if self.plan.open_store is not None and self.reranker.store is not None:
            self.reranker.store.close()

    def work(self, partition: Partition) -> PartitionResult:
        """Rank one partition and write its file."""
        with self.plan.jobs.open("rb") as stream:
            stream.seek(partition.start)
            raw = stream.read(partition.end - partition.start)
        jobs = [
            parse_job(line, f"{self.plan.jobs}, line {partition.line + i}")
            for i, line in enumerate(raw.split(b"\n"))
            if line.strip()
        ]
        incomplete = self.plan.folder / partition.incomplete_name
        records = _finished_records(incomplete)
        rest = [job for job in jobs if job[0].id not in records]
        for start in range(0, len(rest), self.plan.batch):
            part = rest[start : start + self.plan.batch]
            for ranking in self.reranker.rank_many(part, top_n=self.plan.top_n):
                records[ranking.query.id] = ranking_record(ranking) | made_by(self.reranker)
        failed = [failure for record in records.values() for failure in record["failures"]]
        ranked = [records[query.id] for query, _ in jobs]
        judged = judged_documents(ranked, [documents for _, documents in jobs])
        lines = map(json_line, ranked)
        file = incomplete if failed else self.plan.folder / partition.name
        if judged or not failed:
            write_whole(file, "".join(lines).encode("utf-8", "backslashreplace"))
        if not failed:
            incomplete.unlink(missing_ok=True)
        reason = f"{shortened(failed[0]['id'])!r}: {failed[0]['reason']}" if failed else ""
        return PartitionResult(partition.number, len(rest), len(failed), judged, reason)


def _finished_records(file: Path) -> dict[str, dict[str, Any]]:
    """The records without failures of an incomplete partition, by query; none where there is no file."""
    if not file.is_file():
        return {}
    return {row["query_id"]: row for _, row in json_rows(file) if not row["failures"]}


def jobs_beside(folder: Path, jobs: Sequence[tuple[Query, Sequence[Document]]], *, fresh: bool) -> Path:
    """Write the file of jobs of an output beside its folder.

    Nobody has named it, so a file there is replaced only where it is this output's: `bulk.json` knows its
    SHA-256, and so does that of what is begun anew.

    Args:
        folder: of the output.
        jobs: what is written.
        fresh: whether the output is begun anew, which may be of other jobs.

    Raises:
        InputError: another file is there, the output is that of other jobs, or a query has images.
    """
    file = folder.with_name(f"{folder.name}.jobs.jsonl")
    digest = hashlib.sha256()
    for query, documents in jobs:
        digest.update(job_line(query, documents))
    known = set()
    for manifest in (folder / MANIFEST, folder / NEW / MANIFEST):
        with suppress(InputError):  # whoever goes on with a damaged one is told
            known |= {read_json_object(manifest).get("jobs")} if manifest.is_file() else set()
    if known and not fresh and digest.hexdigest() not in known:
        raise _of_another(folder, ["jobs"])
    check_ours(file, lambda there: _digest_of(there) in {digest.hexdigest(), *known}, option="--output")
    write_jobs(file, jobs)
    return file


def _digest_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def partitions(jobs: Path, size: int) -> tuple[list[Partition], str]:
    """The partitions of a file of jobs, whose every line is checked, and the file's SHA-256.

    Raises:
        InputError: no such file, a compressed one, one without jobs, a line that is no job, or a query twice.
    """
    regular_file(jobs, "file of jobs")
    if jobs.name.endswith(".gz"):
        raise InputError(f"{jobs} is compressed, but workers read parts of it: unpack it first")
    parts: list[Partition] = []
    seen: set[str] = set()
    digest = hashlib.sha256()
    start, at, line_of_start, held = 0, 0, 1, 0
    with jobs.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            digest.update(line)
            at += len(line)
            if not line.strip():
                continue
            query, _ = parse_job(line, f"{jobs}, line {number}")
            if query.id in seen:
                raise InputError(f"{jobs}, line {number}: query id {query.id!r} was there before")
            seen.add(query.id)
            held += 1
            if held == size:
                parts.append(Partition(len(parts), start, at, line_of_start))
                start, line_of_start, held = at, number + 1, 0
    if held:
        parts.append(Partition(len(parts), start, at, line_of_start))
    if not parts:
        raise InputError(f"{jobs} holds no jobs")
    return parts, digest.hexdigest()


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Hold the folder of a bulk output, which is made if it is not there, until the block ends.

    Whoever plans holds it; its workers, which may be on other machines, are told what to do.

    Raises:
        InputError: it is no folder, holds something else, or another process works in it.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: choose a folder")
    if not (folder / MANIFEST).is_file() and folder.is_dir() and _holds_others(folder):
        raise InputError(f"{folder} holds something that is no bulk output: choose another folder")
    make_folder(folder)
    try:
        with alone_in(folder):
            yield
    finally:
        with suppress(OSError):  # it holds something, as it should
            folder.rmdir()


def missing_partitions(
    folder: Path,
    parts: Sequence[Partition],
    jobs_digest: str,
    size: int,
    settings: Mapping[str, Any],
) -> list[Partition]:
    """The partitions whose files are not there yet, or incomplete; the folder is made, with its `bulk.json`.

    Args:
        folder: of the output.
        parts: all partitions.
        jobs_digest: of the file of jobs.
        size: jobs in a partition.
        settings: whatever else decides the result, JSON-able; keys and tokens in it do not count.

    Raises:
        InputError: the folder holds something else, or the output of another job.
    """
    body = deciding(parts, jobs_digest, size, settings)
    file = folder / MANIFEST
    if file.is_file():
        before = read_json_object(file, fix="begin anew with --fresh")
        differs = [name for name in body if before.get(name) != body[name]]
        if differs:
            raise _of_another(folder, differs)
    elif folder.exists() and _holds_others(folder):
        raise InputError(f"{folder} holds something that is no bulk output: choose another folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(body, indent=1).encode("ascii"))
    left = [partition for partition in parts if not (folder / partition.name).is_file()]
    for partition in set(parts) - set(left):  # a worker was killed between the two
        (folder / partition.incomplete_name).unlink(missing_ok=True)
    return left


def _of_another(folder: Path, differs: Sequence[str]) -> InputError:
    return InputError(
        f"{folder} holds the output of another job (differs in {', '.join(differs)}): choose another folder, "
        f"or begin anew with --fresh"
    )


def deciding(
    parts: Sequence[Partition], jobs_digest: str, size: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What makes it this job; the arguments are those of `missing_partitions`."""
    known = {key: value for key, value in settings.items() if key not in _SECRET}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=repr).encode()).hexdigest()
    return {
        "format": _FORMAT,
        "jobs": jobs_digest,
        "settings": digest,
        "size": size,
        "partitions": len(parts),
    }


def written_records(folder: Path, parts: Sequence[Partition]) -> Iterator[dict[str, Any]]:
    """The records of all partitions that have been written, whether now or before."""
    for partition in parts:
        for name in (partition.name, partition.incomplete_name):
            if (folder / name).is_file():
                yield from (row for _, row in json_rows(folder / name))
                break


def partition_files(folder: Path) -> list[Path]:
    """What a job has written into its folder; see `begun_anew.working_on`."""
    return [file for file in folder.iterdir() if _OURS.fullmatch(file.name) and file.is_file()]


def _holds_others(folder: Path) -> bool:
    return any(not name.startswith((LOCK, NEW)) for name in os.listdir(folder))


def work_alone(plan: BulkPlan, left: Sequence[Partition]) -> Iterator[PartitionResult]:
    """Do the partitions in this process, one after the other."""
    if not left:
        return
    worker = Worker(plan)
    try:
        for partition in left:
            yield worker.work(partition)
    finally:
        worker.close()
