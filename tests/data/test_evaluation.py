"""Published and known figures out of real runs: `make check-data DATA=…`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from collections_on_disk import folder
from reasonrank_results import read_reasonrank
from typer.testing import CliRunner

from limrank_evals.exclusion import count_excluded, read_excluded
from limrank_evals.judgements import read_judgements
from limrank_evals.loaders.multiple_choice import load_questions
from limrank_evals.runs import RunLine, RunLines, arranged, read_run_lines, tied
from limrank_evals.scoring import score
from limrank_evals.tasks.beir import load_folder
from limrank_plugins.cli import build_app
from limrank_plugins.files import read_lines

pytestmark = pytest.mark.data(
    "bright_rader_rerank_scores",
    "bright_topics_qrels_runs",
    "openstax_psychology",
    "peer_scores",
    "trec_dl19",
)

# nDCG@10 x 100 of ReasonIR's runs: on the judgements as published, and as Anserini corrected them.
REASONIR = {
    "biology": (43.49, 44.19, 103),
    "earth_science": (43.00, 43.41, 116),
    "economics": (32.65, 32.65, 103),
    "psychology": (39.57, 39.57, 101),
    "leetcode": (31.68, 31.68, 142),
    "pony": (19.55, 19.55, 112),
}
RADER = ("gte_lexical", "qwen25_all")


def bright(name: str) -> Any:
    return folder() / "bright_topics_qrels_runs" / name


def reasonir(task: str) -> RunLines:
    return read_run_lines(bright(f"{task}.reasonir_gpt4cot_top100.run.gz"))


def computed() -> Iterator[dict[str, Any]]:
    for _, line in read_lines(folder() / "peer_scores" / "computed_bright.jsonl"):
        yield json.loads(line)


def hundredths(value: float) -> float:
    return round(100 * value, 2)


def test_the_bm25_run_of_dl19_has_its_published_figure():
    place = folder() / "trec_dl19"
    run, qrels = place / "run.dl19-bm25.res.gz", place / "qrels.dl19-passage.txt"
    done = CliRunner().invoke(build_app(), ["eval", "run", str(run), "--qrels", str(qrels), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert round(found["nDCG@10"], 4) == 0.4973
    assert found["counts"]["judged"] == 43
    assert found["counts"]["without_results"] == 0


@pytest.mark.parametrize("task", REASONIR)
def test_reasonirs_runs_to_two_decimals_on_both_variants(task: str):
    *wanted, queries = REASONIR[task]
    for variant, figure in zip(("qrels", "qrels.fixed"), wanted, strict=True):
        scored = score(reasonir(task), read_judgements(bright(f"{task}.{variant}.txt")), ["nDCG@10"])
        assert hundredths(scored.measured.means["nDCG@10"]) == figure
        assert len(scored.measured.coverage.judged) == queries


@pytest.mark.parametrize("system", RADER)
def test_raders_tied_scores_as_computed(system: str):
    rows = [row for row in computed() if row["system"] == f"RaDeR {system}"]
    assert len(rows) == 6
    for row in rows:
        run = read_run_lines(folder() / "bright_rader_rerank_scores" / f"{row['task']}.{system}.json.gz")
        assert tied(run) > 1000, "coarse scores: this is what makes it a test"
        for variant, key in (("qrels", "ndcg10"), ("qrels.fixed", "ndcg10_fixed")):
            scored = score(run, read_judgements(bright(f"{row['task']}.{variant}.txt")), ["nDCG@10"])
            assert hundredths(scored.measured.means["nDCG@10"]) == row[key]
            assert len(scored.measured.coverage.judged) == row["queries"]


def test_another_tie_rule_gives_other_figures_and_says_so():
    run = read_run_lines(folder() / "bright_rader_rerank_scores" / "biology.gte_lexical.json.gz")
    qrels = read_judgements(bright("biology.qrels.txt"))
    first = arranged(reasonir("biology"))
    found = {
        scored.ties: hundredths(scored.measured.means["nDCG@10"])
        for scored in (
            score(run, qrels, ["nDCG@10"]),
            score(run, qrels, ["nDCG@10"], ties="first-stage", first_stage=first),
        )
    }
    assert found["trec_eval"] == 50.23
    assert found["first-stage"] != found["trec_eval"]


def test_excluded_documents_put_on_top_change_nothing():
    """The supplied runs hold none, so they are planted above everything else."""
    excluded = read_excluded(bright("leetcode.exclude.txt.gz"))
    assert excluded == {
        q: out for q, out in read_excluded(bright("leetcode.examples.jsonl.gz")).items() if out
    }
    qrels, run = read_judgements(bright("leetcode.qrels.txt")), reasonir("leetcode")
    assert count_excluded(arranged(run), excluded) == 0
    planted = {
        query: [RunLine(d, 1e6, 0) for d in sorted(excluded.get(query, ()))] + found
        for query, found in run.items()
    }
    clean = score(run, qrels, excluded=excluded, depth=10)
    dirty = score(planted, qrels, excluded=excluded, depth=10)
    assert dirty.removed == sum(len(excluded.get(query, ())) for query in run) > 1000
    assert dirty.measured.per_query == clean.measured.per_query
    assert hundredths(clean.measured.means["nDCG@10"]) == 31.68
    assert score(planted, qrels, ["nDCG@10"]).measured.means["nDCG@10"] < 0.2


def test_reasonranks_published_rows():
    place = folder() / "peer_scores"
    robotics = read_reasonrank(place / "reasonrank7b_robotics.json")
    assert [row.scores["nDCG@10"] for row in robotics.rows] == [30.70]
    assert not robotics.cut_short
    economics = read_reasonrank(place / "reasonrank7b_economics.json")
    assert [row.scores["nDCG@10"] for row in economics.rows] == [33.70, 33.70]
    assert economics.cut_short, "the file ends in the middle of a record in its own repository"
    for row in robotics.rows + economics.rows:
        assert row[:4] == ("reasonrank-7B", "reasonir", 100, 1)


def test_real_collections_through_the_loaders():
    found = load_folder(folder() / "scifact_train", "train")
    assert (len(found.documents), len(found.queries)) == (5183, 809)
    assert found.checked() == ()
    questions = load_questions(folder() / "openstax_psychology" / "mcq.jsonl.gz")
    assert len(questions) == 311
    assert len(load_questions(folder() / "openstax_psychology" / "mmlu.jsonl.gz")) == 1296
