"""Bulk reranking in one process: partitions, resuming, what a folder holds, bad jobs, the command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import bulk_work
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import LoopbackServer, chat
from typer.testing import CliRunner

from limrank_pipelines.bulk import (
    BulkPlan,
    PartitionResult,
    jobs_beside,
    missing_partitions,
    partitions,
    work_alone,
)
from limrank_pipelines.bulk_jobs import job_line, parse_job, write_jobs
from limrank_pipelines.bulk_ray import check_address
from limrank_plugins import Document, Query, Reranker
from limrank_plugins.cli import build_app
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.io import ranking_record, read_run
from limrank_plugins.ranking_job import made_by


def jobs_file(folder: Path, count: int = 7) -> Path:
    jobs = [
        (
            Query(f"question {i}", id=f"q{i}", instruction="really" if i == 2 else ""),
            [
                Document(f"passage {i} {j} é\u0085", id=f"d{j}", title="T" if j else "", prior=9.0 - j)
                for j in range(4)
            ],
        )
        for i in range(count)
    ]
    write_jobs(folder / "jobs.jsonl", iter(jobs))
    return folder / "jobs.jsonl"


def done(jobs: Path, folder: Path, size: int, **settings: Any) -> list[PartitionResult]:
    parts, digest = partitions(jobs, size)
    left = missing_partitions(folder, parts, digest, size, settings)
    return list(work_alone(BulkPlan(jobs, folder, bulk_work.make, batch=settings.get("batch", 1)), left))


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("part-*"))}


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("batch", [1, 5])
def test_partitions_side_by_side_are_the_run(tmp_path: Path, size: int, batch: int):
    jobs = jobs_file(tmp_path)
    results = done(jobs, tmp_path / "out", size, batch=batch)
    assert [result.number for result in results] == list(range(-(-7 // size)))
    assert sum(result.queries for result in results) == 7
    whole = b"".join(files(tmp_path / "out").values())
    reranker = bulk_work.make()
    expected = [
        ranking_record(reranker.rank(*parse_job(line, ""))) | made_by(reranker)
        for line in jobs.read_bytes().splitlines()
    ]
    assert [json.loads(line) for line in whole.decode().split("\n")[:-1]] == expected
    (tmp_path / "run.jsonl").write_bytes(whole)
    run = read_run(tmp_path / "run.jsonl")
    assert list(run) == [f"q{i}" for i in range(7)]


def test_a_rerun_computes_what_is_missing_and_makes_the_same_files(tmp_path: Path):
    jobs = jobs_file(tmp_path)
    done(jobs, tmp_path / "out", 2)
    before = files(tmp_path / "out")
    assert list(before) == [f"part-0000{i}.jsonl" for i in range(4)]
    assert done(jobs, tmp_path / "out", 2) == []
    (tmp_path / "out" / "part-00002.jsonl").unlink()
    assert done(jobs, tmp_path / "out", 2) == [PartitionResult(2, 2, 0, judged=8)]
    assert files(tmp_path / "out") == before


def test_nothing_of_a_partition_that_was_not_finished_is_there(tmp_path: Path):
    jobs = jobs_file(tmp_path)

    class Stop(Exception):
        pass

    def make() -> Reranker:
        reranker = bulk_work.make()
        rank, batches = reranker.rank_many, []

        def stopping(given_jobs: Any, **options: Any) -> Any:
            batches.append(1)
            if len(batches) == 4:
                raise Stop
            return rank(given_jobs, **options)

        reranker.rank_many = stopping  # type: ignore[method-assign]
        return reranker

    parts, digest = partitions(jobs, 3)
    left = missing_partitions(tmp_path / "out", parts, digest, 3, {})
    with pytest.raises(Stop):
        list(work_alone(BulkPlan(jobs, tmp_path / "out", make), left))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["bulk.json", "part-00000.jsonl"]
    assert [result.number for result in done(jobs, tmp_path / "out", 3)] == [1, 2]


def test_a_folder_belongs_to_one_job(tmp_path: Path):
    jobs = jobs_file(tmp_path)
    done(jobs, tmp_path / "out", 2, recipe="limrank", api_key="one")
    assert done(jobs, tmp_path / "out", 2, recipe="limrank", api_key="another key") == []
    assert "one" not in (tmp_path / "out" / "bulk.json").read_text()
    with pytest.raises(InputError, match=r"differs in settings"):
        done(jobs, tmp_path / "out", 2, recipe="mini")
    with pytest.raises(InputError, match=r"differs in size, partitions"):
        done(jobs, tmp_path / "out", 3, recipe="limrank")
    jobs.write_bytes(jobs.read_bytes().replace(b"question 3", b"question x"))
    with pytest.raises(InputError, match=r"differs in jobs"):
        done(jobs, tmp_path / "out", 2, recipe="limrank")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="no bulk output"):
        done(jobs, tmp_path / "mine", 2)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    texts.filter(str.strip),
    texts,
    st.lists(st.tuples(texts, texts, st.none() | st.floats(-1e9, 1e9)), max_size=4),
)
def test_a_job_is_what_was_written(question: str, instruction: str, passages: Any):
    query = Query(question, id="q", instruction=instruction)
    documents = [Document(t, id=str(i), title=title, prior=p) for i, (t, title, p) in enumerate(passages)]
    line = job_line(query, documents)
    assert line.count(b"\n") == 1
    assert parse_job(line, "") == (query, documents)


def test_images_cannot_be_jobs():
    with pytest.raises(InputError, match="images"):
        job_line(Query("q", id="q"), [Document("", id="a", images=(Image(b"GIF89a"),))])


GOOD = {"query_id": "q1", "query": "why", "passages": [{"id": "a", "text": "x"}]}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: a job is an object"),
        (json.dumps(GOOD | {"passages": "a"}), "list of 'passages'"),
        (json.dumps(GOOD | {"query_id": ""}), "query_id"),
        (json.dumps(GOOD | {"query_id": "q2", "query": " "}), "empty"),
        (json.dumps(GOOD | {"query_id": "q2", "query": 5}), "Query.text must be a str"),
        (json.dumps(GOOD), "query id 'q1' was there before"),
        (json.dumps(GOOD | {"query_id": "q2", "passages": [{"id": "a"}]}), "'id' and 'text'"),
        (json.dumps(GOOD | {"query_id": "q2", "passages": [{"id": "a", "text": 1}]}), "Document.text"),
        (
            json.dumps(GOOD | {"query_id": "q2", "passages": [{"id": "a", "text": "x", "score": "high"}]}),
            "must be a number, but is 'high'",
        ),
        (
            '{"query_id": "q2", "query": "w", "passages": [{"id": "a", "text": "x", "score": NaN}]}',
            "finite number",
        ),
        (
            json.dumps(GOOD | {"query_id": "q2", "passages": [{"id": "a", "text": "x"}] * 2}),
            "must be unique",
        ),
        (
            json.dumps(GOOD | {"query_id": "q2", "instructions": "x"}),
            "a job has no field 'instructions'; there are: query_id, query, instruction, passages",
        ),
        (
            json.dumps(GOOD | {"query_id": "q2", "passages": [{"id": "a", "text": "x", "prior": 1.0}]}),
            "passage 'a' has no field 'prior'; there are: id, title, text, score",
        ),
    ],
)
def test_a_line_that_is_no_job_is_told_before_any_work(tmp_path: Path, line: str, named: str):
    (tmp_path / "jobs.jsonl").write_text(f"{json.dumps(GOOD)}\n{line}\n")
    with pytest.raises(InputError) as caught:
        partitions(tmp_path / "jobs.jsonl", 5)
    assert named in str(caught.value)
    assert "jobs.jsonl, line 2" in str(caught.value)


def test_jobs_in_another_encoding_are_named_as_such(tmp_path: Path):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(json.dumps(GOOD), encoding="utf-16")
    with pytest.raises(InputError, match=r"jobs.jsonl, line 1: not UTF-8 \(invalid start byte at byte 0\)$"):
        partitions(jobs, 5)
    jobs.write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert len(partitions(jobs, 5)[0]) == 1


def test_a_score_of_hundreds_of_digits_is_named_shortly():
    passages = [{"id": "a", "text": "x", "score": 10**400}]
    with pytest.raises(InputError) as caught:
        parse_job(json.dumps(GOOD | {"passages": passages}).encode(), "here")
    assert len(str(caught.value)) < 250


def test_the_jobs_beside_an_output_replace_only_its_own(tmp_path: Path):
    out, file = tmp_path / "out", tmp_path / "out.jobs.jsonl"
    one, two = ([(Query("why", id=name), [Document("x", id="a")])] for name in ("1", "2"))
    write_jobs(file, two)
    mine = file.read_bytes()
    with pytest.raises(InputError, match=r"out\.jobs\.jsonl would replace a file.*--output"):
        jobs_beside(out, one, fresh=False)
    assert file.read_bytes() == mine
    file.unlink()
    for _ in range(2):  # a kill before there is a manifest, and the same command again
        assert jobs_beside(out, one, fresh=False) == file
    parts, digest = partitions(file, 5)
    missing_partitions(out, parts, digest, 5, {})
    ours = file.read_bytes()
    with pytest.raises(InputError, match="differs in jobs"):
        jobs_beside(out, two, fresh=False)
    assert file.read_bytes() == ours
    jobs_beside(out, two, fresh=True)
    assert file.read_bytes() == mine


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--cpus", "inf"], "--cpus) must be a number >= 0"),
        (["--cpus", "nan"], "but got nan"),
        (["--cpus", "-1"], "but got -1"),
        (["--gpus", "inf"], "--gpus) must be a number >= 0"),
        (["--gpus", "1.5"], "--gpus) must be a whole number above 1, but got 1.5"),
        (["--address", "nonsense:99999"], "but got 'nonsense:99999'"),
        (["--address", "nonsense"], "must be host:port"),
        (["--address", "http://h:80"], "must be host:port"),
        (["--address", "h:0"], "must be host:port"),
        (["--address", "ray://h"], "must be host:port"),
        (
            ["--workers", "0", "--address", "h:6379"],
            "--address h:6379 names a Ray cluster, but with --workers 0",
        ),
    ],
)
def test_what_no_cluster_can_be_is_told_before_anything_is_begun(
    tmp_path: Path, words: list[str], named: str
):
    jobs, out = jobs_file(tmp_path, 1), tmp_path / "out"
    command = ["bulk", "--jobs", str(jobs), "-o", str(out), "--recipe", "prior", "--workers", "1", *words]
    result = CliRunner().invoke(build_app(), command)
    assert result.exit_code == 2, result.output
    assert named in " ".join(result.stderr.split())
    assert not out.exists()


def test_a_cluster_where_nothing_answers_is_told_before_anything_is_begun(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nothing listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        jobs, out = jobs_file(tmp_path, 1), tmp_path / "out"
        command = ["bulk", "--jobs", str(jobs), "-o", str(out), "--recipe", "prior", "--workers", "1"]
        result = CliRunner().invoke(build_app(), [*command, "--address", address])
    assert result.exit_code == 1
    assert f"nothing answers at {address}" in result.stderr
    assert not out.exists()


def test_addresses_of_clusters():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for address in ("auto", f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            check_address(address)
    check_address("[::1]:6379", reach=False)


def test_files_that_cannot_be_used(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    for name, named in (("none.jsonl", "there is no file"), ("empty.jsonl", "holds no jobs")):
        with pytest.raises(InputError, match=named):
            partitions(tmp_path / name, 5)
    (tmp_path / "jobs.jsonl.gz").write_bytes(b"")
    with pytest.raises(InputError, match="unpack it"):
        partitions(tmp_path / "jobs.jsonl.gz", 5)


# ---- the command --------------------------------------------------------------------------------


def bulk(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("limrank")
    environment = {**os.environ, "LIMRANK_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [str(program), "bulk", *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


def test_the_command(tmp_path: Path):
    jobs = jobs_file(tmp_path)
    out = tmp_path / "out"
    common = ["--jobs", jobs, "-o", out, "--recipe", "prior", "--size", 3, "--json"]
    report = json.loads(bulk(tmp_path, *common).stdout)
    assert report == {
        "output": str(out),
        "partitions": 3,
        "computed": 3,
        "not_written": 0,
        "queries_computed": 7,
        "failures_computed": 0,
        "without_candidates": 0,
        "cut_queries": 0,
        "cut_documents": 0,
    }
    assert json.loads(bulk(tmp_path, *common).stdout)["computed"] == 0
    assert "differs in settings" in bulk(tmp_path, *common, "--top-n", 2, code=2).stderr


def test_the_command_from_queries_corpus_and_run(tmp_path: Path):
    (tmp_path / "q.jsonl").write_text('{"_id": "1", "text": "one"}\n{"_id": "2", "text": "two"}\n')
    (tmp_path / "c.jsonl").write_text("".join(f'{{"_id": "d{i}", "text": "t{i}"}}\n' for i in range(3)))
    (tmp_path / "run.txt").write_text("1 Q0 d2 1 9 x\n1 Q0 d0 2 8 x\n")
    given = [
        "--queries",
        tmp_path / "q.jsonl",
        "--corpus",
        tmp_path / "c.jsonl",
        "--run",
        tmp_path / "run.txt",
    ]
    bulk(tmp_path, *given, "-o", tmp_path / "out", "--recipe", "prior")
    lines = (tmp_path / "out" / "part-00000.jsonl").read_text().splitlines()
    parts = {row["query_id"]: [hit["id"] for hit in row["hits"]] for row in map(json.loads, lines)}
    assert parts == {"1": ["d2", "d0"], "2": []}
    (tmp_path / "run.txt").write_text("1 Q0 d7 1 9 x\n")
    refused = bulk(tmp_path, *given, "-o", tmp_path / "other", "--recipe", "prior", code=2)
    assert "d7" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "either --jobs, or all of"),
        (["--jobs", "x.jsonl", "--run", "r"], "either --jobs, or all of"),
        (["--jobs", "x.jsonl"], "there is no file"),
        (["--jobs", "x.jsonl", "--size", 0], "--size"),
        (["--jobs", "x.jsonl", "--recipe", "nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[object], named: str):
    recipe = [] if "--recipe" in arguments else ["--recipe", "prior"]
    done = bulk(tmp_path, *arguments, *recipe, "-o", tmp_path / "out", code=2)
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_partitions_of_which_nothing_was_judged_are_not_counted_as_there(tmp_path: Path):
    pytest.importorskip("openai", reason="needs pip install 'limrank[openai]'")
    with LoopbackServer(lambda call: chat(None, "")) as server:
        words = ["bulk", "--jobs", str(jobs_file(tmp_path, 2)), "-o", str(tmp_path / "out"), "--size", "1"]
        words += ["--recipe", "rankgpt", "--model", "m", "--backend", "openai"]
        words += ["--option", f"base_url={server.url}", "--option", "api=chat"]
        for more in ([], ["--fresh"]):
            result = CliRunner().invoke(build_app(), [*words, *more])
            assert result.exit_code == 1
            told = f"0 partitions in {tmp_path / 'out'}: 0 computed now (2 queries), 0 were there; "
            assert f"{told}2 partitions not written" in result.stderr
            assert files(tmp_path / "out") == {}
