"""Bulk reranking on a local Ray cluster: the files are those of one process, whoever dies on the way."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import bulk_work
import pytest

pytest.importorskip("ray.data", reason="Ray is not installed: pip install 'limrank[ray]'")

from limrank_pipelines.bulk import BulkPlan, missing_partitions, partitions, work_alone
from limrank_pipelines.bulk_jobs import write_jobs
from limrank_pipelines.bulk_ray import work_on_ray
from limrank_plugins import Document, Query
from limrank_plugins.errors import BackendError, InputError

# A cluster takes seconds to start, and as long again where processes share few cores.
pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def _workers_find_the_tests_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(bulk_work.__file__).parent))


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    queries_and_documents = [
        (
            Query(f"question {i}", id=f"q{i}"),
            [
                Document(f"passage {i} {j}{' lethal' if (i, j) == (17, 3) else ''}", id=f"d{j}")
                for j in range(6)
            ],
        )
        for i in range(36)
    ]
    write_jobs(tmp_path / "jobs.jsonl", iter(queries_and_documents))
    return tmp_path / "jobs.jsonl"


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def alone(jobs: Path, folder: Path) -> dict[str, bytes]:
    parts, digest = partitions(jobs, 3)
    left = missing_partitions(folder, parts, digest, 3, {})
    list(work_alone(BulkPlan(jobs, folder, bulk_work.make), left))
    return files(folder)


def test_one_of_three_workers_is_killed_and_the_files_are_those_of_one_process(jobs: Path, tmp_path: Path):
    out, seen = tmp_path / "ray", tmp_path / "seen"
    seen.mkdir()
    parts, digest = partitions(jobs, 3)
    left = missing_partitions(out, parts, digest, 3, {})
    plan = BulkPlan(jobs, out, partial(bulk_work.make, str(seen), True))
    done = list(work_on_ray(plan, left, workers=3))
    assert sorted(result.number for result in done) == list(range(12))
    assert sum(result.queries for result in done) == 36
    assert (seen / "killed").exists(), "nobody was killed: the test showed nothing"
    workers = {file.name.split("-")[0] for file in seen.iterdir() if file.name != "killed"}
    assert len(workers) >= 2, "several processes worked"
    assert files(out) == alone(jobs, tmp_path / "alone")
    # Nothing is left to do, and nobody is started for it.
    assert list(work_on_ray(plan, missing_partitions(out, parts, digest, 3, {}), workers=3)) == []


def test_a_rerun_after_everything_died_does_the_rest(jobs: Path, tmp_path: Path):
    expected = alone(jobs, tmp_path / "alone")
    out, seen = tmp_path / "ray", tmp_path / "seen"
    seen.mkdir()
    parts, digest = partitions(jobs, 3)
    missing_partitions(out, parts, digest, 3, {})
    for name in list(expected)[1:8]:
        (out / name).write_bytes(expected[name])
    left = missing_partitions(out, parts, digest, 3, {})
    assert len(left) == 5
    done = list(work_on_ray(BulkPlan(jobs, out, partial(bulk_work.make, str(seen))), left, workers=2))
    assert sorted(result.number for result in done) == sorted(partition.number for partition in left)
    asked = {file.name.split("-")[1] for file in seen.iterdir()}
    assert len(asked) == 5 * 3 * 6, "only what was missing was asked about"
    assert files(out) == expected


def test_a_worker_that_cannot_start_says_why(jobs: Path, tmp_path: Path):
    parts, digest = partitions(jobs, 3)
    left = missing_partitions(tmp_path / "out", parts, digest, 3, {})
    with pytest.raises(BackendError, match="the model is not there"):
        list(work_on_ray(BulkPlan(jobs, tmp_path / "out", bulk_work.fails), left, workers=1))
    with pytest.raises(InputError, match="workers"):
        list(work_on_ray(BulkPlan(jobs, tmp_path / "out", bulk_work.make), left, workers=0))
