"""`limrank synth mix`, `export`, `documents` and `lists` through the real process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from limrank_command import run_limrank
from servers import Call, LoopbackServer
from synthetic_rows import rank1_file, rank1_record, rows, rows_file

from limrank_synth.pointwise_layout import completion, pointwise_prompt
from limrank_synth.run_files import read_rows


def limrank(*arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = run_limrank(
        ["synth", *arguments], cwd=Path.cwd(), env={**os.environ, "COLUMNS": "200", **environment}
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def test_from_two_pools_to_a_training_file(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    rows_file(run / "rows.jsonl", rows(10))
    (run / "report.json").write_text(
        json.dumps({"cost": 2.0, "seeds": 10, "stages": {"judging": {"in": 50, "out": 40}}})
    )
    pool = rank1_file(tmp_path / "rank1.jsonl", 20)
    with pool.open("a") as stream:
        stream.write(json.dumps(rank1_record(99, output="no verdict")) + "\n")
    wanted = [
        "--rank1",
        pool,
        "--synthetic",
        run,
        "--rank1-rows",
        14,
        "--synthetic-rows",
        6,
        "-o",
        tmp_path / "mix",
    ]
    refused = limrank("mix", *wanted, code=2)
    assert "MS MARCO" in refused.stderr
    assert "--allow-non-commercial" in refused.stderr
    said = limrank("mix", *wanted, "--allow-non-commercial")
    assert "20 rows" in said.stderr
    assert "1 not readable" in said.stderr
    assert "MS MARCO" in said.stderr
    report = json.loads(limrank("mix", *wanted, "--allow-non-commercial", "--json").stdout)
    assert (report["rows"], report["relevant"]) == (20, 10)

    limrank("export", tmp_path / "mix", "--format", "trl", "-o", tmp_path / "out", "--title", "A mix")
    lines = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text("utf-8").splitlines()]
    assert lines == [
        {"prompt": pointwise_prompt(r.query, r.passage), "completion": completion(r.trace, r.relevant)}
        for r in read_rows(tmp_path / "mix/rows.jsonl")
    ]
    card = (tmp_path / "out/README.md").read_text()
    assert "Mixed from 14 Rank1-style and 6 synthetic rows" in card
    assert "**Not for commercial use**: this set holds texts of MS MARCO." in card
    assert "Calls: $2.00" in card  # the run's report came with the mix
    assert (tmp_path / "out/plots/acceptance.png").is_file()


@pytest.mark.parametrize(
    "layout", ["rows", "llama-factory", "listwise", "setwise", "pairs", "triples", "trec"]
)
def test_every_layout_is_written(tmp_path: Path, layout: str) -> None:
    rows_file(tmp_path / "rows.jsonl", rows(3))
    done = limrank("export", tmp_path / "rows.jsonl", "--format", layout, "-o", tmp_path / "out", "--json")
    summary = json.loads(done.stdout)
    assert summary["rows"] == 12
    assert all(
        (tmp_path / "out" / name).is_file() for name in [*summary["records"], "README.md", "export.json"]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mix", "-o", "x"], "give --rank1, --synthetic or both"),
        (["mix", "--synthetic", "none.jsonl", "-o", "x"], "there is no file"),
        (["mix", "--synthetic", "rows.jsonl", "-o", "x", "--relevant", "half"], "a share such as 0.5"),
        (["mix", "--synthetic", "rows.jsonl", "-o", "x", "--synthetic-rows", "99"], "of which there are 6"),
        (["export", "rows.jsonl", "--format", "csv", "-o", "x"], "there is no format 'csv'"),
        (["export", "rows.jsonl", "--format", "trl", "-o", "."], "holds something that is no export"),
        (["export", "none.jsonl", "--format", "trl", "-o", "x"], "there is no file"),
        (
            ["export", "rows.jsonl", "--format", "trl", "-o", "x", "--report", "no.json"],
            "there is no file 'no.json'",
        ),
        (["export", "rows.jsonl", "--format", "listwise", "-o", "x", "--size", "1"], "from 2 to 100"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows_file(tmp_path / "rows.jsonl", rows(3))
    done = limrank(*arguments, code=2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def _chat(text: str) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5},
    }


def test_documents_and_lists_are_made_by_a_served_model(tmp_path: Path) -> None:
    def script(call: Call) -> dict[str, Any]:
        if "passages above" in call.prompt:
            return _chat("<think>The first is best.</think> <answer>[1] > [2] > [3] > [4]</answer>")
        return _chat("Because " + call.prompt.partition("<query>")[2].partition("</query>")[0])

    (tmp_path / "queries.tsv").write_text("".join(f"q{n}\twhat is {n}\n" for n in range(8)))
    rows_file(tmp_path / "rows.jsonl", rows(3))
    with LoopbackServer(script) as server:
        models = ["--model", f"writer=w@{server.url}", "--model", f"reasoner=r@{server.url}"]
        done = limrank(
            "documents", tmp_path / "queries.tsv", "-o", tmp_path / "docs", *models, "--how", "bm25", "--json"
        )
        assert json.loads(done.stdout)["documents"] == 8
        limrank("lists", tmp_path / "rows.jsonl", "-o", tmp_path / "lists", *models)
        before = len(server.calls)
        limrank("lists", tmp_path / "rows.jsonl", "-o", tmp_path / "lists", *models)
        assert len(server.calls) == before > 8  # nothing is asked twice
    lists = tmp_path / "lists/lists.jsonl"
    options = ["--format", "listwise", "--lists", lists, "--consistency", "0", "--json"]
    done = limrank("export", tmp_path / "rows.jsonl", "-o", tmp_path / "out", *options)
    assert json.loads(done.stdout)["options"]["lists"] == 3
    for line in (tmp_path / "out/train.jsonl").read_text().splitlines():
        example = json.loads(line)
        assert example["order"] == [0, 1, 2, 3]
        assert example["completion"][0]["content"].startswith(
            "<think> The first is best. </think> <answer>[1] > [2]"
        )
