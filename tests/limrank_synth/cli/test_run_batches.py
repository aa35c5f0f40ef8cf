"""`limrank synth run --batch-out` and `batch-in`: the same rows as online, in rounds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from synth_command import Workplace, limrank, run
from synth_server import completion


def scripted_batch(files: list[str], results: Path, fail: bool = False) -> int:
    """What a batch service makes of request files: results in another order, some failed."""
    lines = []
    for file in files:
        requests = list(map(json.loads, Path(file).read_text("utf-8").splitlines()))
        assert len({request["body"]["model"] for request in requests}) == 1
        for number, request in enumerate(requests):
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            line: dict[str, Any] = {"id": f"r{number}", "custom_id": request["custom_id"], "error": None}
            if fail and number % 5 == 0:
                line |= {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
            elif fail and number % 5 == 1:
                line["response"] = {"status_code": 500, "body": {"error": {"message": "oops"}}}
            else:
                line["response"] = {"status_code": 200, "body": completion(request["body"])}
            lines.append(json.dumps(line) + "\n")
    results.write_text("".join(reversed(lines)), "utf-8")
    return len(lines)


def test_batches_make_what_a_run_makes(place: Workplace, tmp_path: Path):
    run(place, output=tmp_path / "online")
    served = place.server.served
    results, failed, rounds = tmp_path / "results.jsonl", 0, 0
    while True:
        out = json.loads(run(place, "--batch-out", tmp_path / "open.jsonl", "--json").stdout)
        if not out["batch_files"]:
            break
        rounds += 1
        number = scripted_batch(out["batch_files"], results, fail=rounds <= 3)
        assert number == out["wanted"]
        # Once more before the results are there: nothing is written or paid for twice.
        repeated = json.loads(run(place, "--batch-out", tmp_path / "open.jsonl", "--json").stdout)
        assert (repeated["batch_files"], repeated["waiting"]) == ([], number)
        arguments = (
            "synth",
            "batch-in",
            results,
            "-o",
            place.output,
            "--config",
            place.folder / "synth.toml",
        )
        said = json.loads(limrank(*arguments, "--json").stdout)
        failed += len(said["failed"])
        assert said["committed"] == number - len(said["failed"])
        # Once more: nothing is committed twice.
        assert json.loads(limrank(*arguments, "--json").stdout)["committed"] == 0
    assert out["finished"] == 3
    assert out["wanted"] == 0
    assert failed > 5
    assert place.rows == (tmp_path / "online" / "rows.jsonl").read_bytes()
    assert place.server.served == served, "a run that writes batches asked somebody"
    assert "the run is done" in run(place, "--batch-out", tmp_path / "open.jsonl").output


def test_a_batch_is_within_the_budget(place: Workplace, tmp_path: Path):
    said = run(place, "--batch-out", tmp_path / "a.jsonl", "--max-cost", 0.01).output
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    assert 0 < len(lines) < 6
    assert f"beyond --max-cost: {6 - len(lines)} requests" in said
    again = run(place, "--batch-out", tmp_path / "b.jsonl", "--max-cost", 0.01).output
    assert f"in files of before: {len(lines)} requests" in again
    assert not (tmp_path / "b.jsonl").exists(), "what waits is held against the budget"
    whole = json.loads(run(place, "--batch-out", tmp_path / "c.jsonl", "--batch-again", "--json").stdout)
    assert (whole["wanted"], whole["waiting"]) == (6, 0)
    assert len((tmp_path / "c.jsonl").read_text("utf-8").splitlines()) == 6


def test_a_batch_file_is_an_output_like_any_other(place: Workplace, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for output, told in (
        (os.devnull, "is a pipe or a device, which would be replaced"),
        ("/proc/x", "is a pipe or a device, which would be replaced"),
        (tmp_path / "pipe", "is a pipe or a device, which would be replaced"),
        (tmp_path, "is a folder: name a file"),
        (place.folder / "seeds.tsv", "is read as an input"),
        (place.output / "rows.jsonl", "is a file of the run itself"),
        (place.output / "ledger.sqlite", "keeps replies"),
    ):
        assert told in run(place, "--batch-out", output, code=2).output
        assert not place.output.exists(), "it is told before anything is done"
    (tmp_path / "link.jsonl").symlink_to("elsewhere.jsonl")
    run(place, "--batch-out", tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len((tmp_path / "elsewhere.jsonl").read_text("utf-8").splitlines()) == 6


def test_writing_again_needs_a_file(place: Workplace):
    assert "give a file with --batch-out" in run(place, "--batch-again", code=2).output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 1: not JSON"),
        ("[1]", "expected a JSON object"),
        ('{"id": 1}', "custom_id None is not one that"),
        ('{"custom_id": 7}', "custom_id 7 is not one that"),
        ('{"custom_id": "their-own"}', "'their-own' is not one that `--batch-out` wrote"),
        ('{"custom_id": "painter:0:0:' + "0" * 64 + '"}', "is not one that `--batch-out` wrote"),
    ],
)
def test_results_that_are_none(place: Workplace, tmp_path: Path, line: str, message: str):
    (tmp_path / "results.jsonl").write_text(line + "\n", "utf-8")
    arguments = ("synth", "batch-in", tmp_path / "results.jsonl", "-o", place.output)
    assert message in limrank(*arguments, "--config", place.folder / "synth.toml", code=2).output
