"""`limrank eval NAME` on real runs and collections: published and known figures (`make check-data`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import benchmark_folders as made
import pytest
from collections_on_disk import folder
from typer.testing import CliRunner

from limrank_evals.exclusion import read_excluded
from limrank_evals.judgements import read_judgements
from limrank_evals.runs import arranged, read_run_lines
from limrank_plugins.cli import build_app
from limrank_plugins.files import read_lines

pytestmark = pytest.mark.data

# As in test_evaluation: nDCG@10 x 100 on the published and on Anserini's corrected judgements.
REASONIR = {
    "biology": (43.49, 44.19),
    "earth_science": (43.00, 43.41),
    "economics": (32.65, 32.65),
    "psychology": (39.57, 39.57),
    "leetcode": (31.68, 31.68),
    "pony": (19.55, 19.55),
}
BM25S = {"scifact_train": 0.6945, "cranfield": 0.3517, "cacm": 0.4956}


def limrank(*arguments: object) -> Any:
    done = CliRunner().invoke(build_app(), ["eval", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def bright_layout(place: Path, task: str) -> Path:
    """The hub's layout; the documents are not at hand, and nobody reads them where nothing is reranked."""
    data = folder() / "bright_topics_qrels_runs"
    examples = [json.loads(line) for _, line in read_lines(data / f"{task}.examples.jsonl.gz")]
    made.put(place, "examples", task, examples)
    ids = {d for found in arranged(read_run_lines(run_of(task))).values() for d in found}
    ids |= {d for row in examples for d in (*row["gold_ids"], *row["excluded_ids"])}
    for variant in ("qrels", "qrels.fixed"):
        ids |= {d for grades in read_judgements(data / f"{task}.{variant}.txt").values() for d in grades}
    made.put(place, "documents", task, [{"id": d, "content": ""} for d in sorted(ids)])
    return place


def run_of(task: str) -> Path:
    return folder() / "bright_topics_qrels_runs" / f"{task}.reasonir_gpt4cot_top100.run.gz"


@pytest.mark.data("bright_topics_qrels_runs")
def test_reasonirs_runs_on_both_variants(tmp_path: Path):
    data = folder() / "bright_topics_qrels_runs"
    for task in REASONIR:
        bright_layout(tmp_path / "bright", task)
    splits = [word for task in REASONIR for word in ("-t", task)]
    for place, variant in enumerate(("qrels", "qrels.fixed")):
        found = limrank(
            *("bright", "--source", tmp_path / "bright", *splits, "--no-rerank", "-m", "nDCG@10"),
            *("--first-stage", run_of("{split}"), "--qrels", data / f"{{split}}.{variant}.txt"),
            *("-o", tmp_path / variant),
        )
        scores = {split: round(100 * one["first"]["nDCG@10"], 2) for split, one in found["splits"].items()}
        assert scores == {task: figures[place] for task, figures in REASONIR.items()}
        counts = [one["results"][0]["counts"]["judged"] for one in found["splits"].values()]
        assert counts == [103, 116, 103, 101, 142, 112]
        (mean,) = found["means"]
        assert mean["identity"]["split"] == "mean of 6 splits", "not the average of the twelve"
        assert mean["identity"]["qrels"] == f"*.{variant}.txt"
    published = limrank(
        *("bright", "--source", tmp_path / "bright", "-t", "economics", "--no-rerank"),
        *("--first-stage", run_of("{split}"), "-o", tmp_path / "published"),
    )
    assert round(100 * published["splits"]["economics"]["first"]["nDCG@10"], 2) == 32.65


@pytest.mark.data("bright_topics_qrels_runs")
def test_excluded_documents_above_all_others_change_nothing(tmp_path: Path):
    bright_layout(tmp_path / "bright", "leetcode")
    excluded = read_excluded(folder() / "bright_topics_qrels_runs" / "leetcode.exclude.txt.gz")
    clean = arranged(read_run_lines(run_of("leetcode")))
    dirty = made.run(
        tmp_path / "dirty.run", {q: [*sorted(excluded.get(q, ())), *f] for q, f in clean.items()}
    )
    pure = made.run(tmp_path / "pure.run", clean)
    found = [
        limrank(
            *("bright", "--source", tmp_path / "bright", "-t", "leetcode", "--k", 50, "--recipe", "prior"),
            *("--first-stage", run, "-o", tmp_path / run.stem),
        )["splits"]["leetcode"]
        for run in (dirty, pure)
    ]
    assert found[0]["first"] == found[1]["first"]
    assert found[0]["reranked"] == found[1]["reranked"] == found[0]["first"]
    assert round(100 * found[0]["first"]["nDCG@10"], 2) == 31.68
    removed = [one["results"][0]["counts"]["excluded_removed"] for one in found]
    assert removed[0] > 1000
    assert removed[1] == 0
    written = [(tmp_path / name / "leetcode" / "rankings.jsonl").read_bytes() for name in ("dirty", "pure")]
    assert written[0] == written[1]


@pytest.mark.data("trec_dl19")
def test_the_bm25_run_of_dl19_has_its_published_figure(tmp_path: Path):
    data = folder() / "trec_dl19"
    run = data / "run.dl19-bm25.res.gz"
    qrels = data / "qrels.dl19-passage.txt"
    (tmp_path / "qrels.dl19-passage.txt").write_bytes(qrels.read_bytes())
    (tmp_path / "topics.dl19-passage.txt").write_bytes((data / "queries.dl19.tsv").read_bytes())
    ids = {d for found in arranged(read_run_lines(run)).values() for d in found}
    ids |= {d for grades in read_judgements(qrels).values() for d in grades}
    (tmp_path / "collection.tsv").write_text("".join(f"{d}\t-\n" for d in sorted(ids)))
    found = limrank(
        *("trec-dl", tmp_path, "-t", "dl19", "--first-stage", run, "--k", 1000, "--no-rerank"),
        *("-o", tmp_path / "out"),
    )
    (split,) = found["splits"].values()
    assert round(split["first"]["nDCG@10"], 4) == 0.4973
    assert split["results"][0]["counts"]["judged"] == 43


@pytest.mark.parametrize("name", BM25S)
def test_bm25s_on_a_real_collection(tmp_path: Path, name: str):
    found = limrank("folder", folder() / name, "--no-rerank", "-m", "nDCG@10", "-o", tmp_path / "out")
    assert round(found["splits"]["test"]["first"]["nDCG@10"], 4) == BM25S[name]
