"""The error analysis of real runs, against pairs counted one by one: `make check-data DATA=…`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from collections_on_disk import folder
from needs import needs_mini
from typer.testing import CliRunner

from limrank_evals.judgements import read_judgements
from limrank_evals.runs import arranged, read_run_lines
from limrank_plugins.cli import build_app

pytestmark = pytest.mark.data(
    "bright_rader_rerank_scores", "bright_topics_qrels_runs", "msmarco_small", "trec_dl19"
)


def errors(*arguments: object) -> dict:
    done = CliRunner().invoke(build_app(), ["eval", "errors", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_indirect_above_direct_in_the_bm25_run_of_dl19():
    """Grade 3 stands in for direct, 1 and 2 for indirect; the figures are those of docs/errors.md."""
    place = folder() / "trec_dl19"
    run, judged = place / "run.dl19-bm25.res.gz", place / "qrels.dl19-passage.txt"
    found = errors(run, "-q", judged, "--direct-grade", 3)
    ranked, qrels = arranged(read_run_lines(run)), read_judgements(judged)
    rates, pairs = {}, 0
    for query, order in ranked.items():
        grades = [qrels[query].get(document) for document in order]
        places = {grade: [i for i, found in enumerate(grades) if found in grade] for grade in ((3,), (1, 2))}
        above = [low < high for high in places[3,] for low in places[1, 2]]
        if above:
            rates[query] = sum(above) / len(above)
            pairs += len(above)
    sorts = {(one["worse"], one["better"]): one for one in found["confusion"]["sorts"]}
    one = sorts["indirect", "direct"]
    assert (one["queries"], one["pairs"]) == (len(rates), pairs)
    assert one["rate"]["mean"] == pytest.approx(sum(rates.values()) / len(rates))
    told = {names: (one["queries"], round(one["rate"]["mean"], 3)) for names, one in sorts.items()}
    assert told["indirect", "direct"] == (36, 0.385)
    assert told["negative", "direct"] == (36, 0.361)
    assert told["negative", "indirect"] == (43, 0.409)
    assert [round(end, 3) for end in one["rate"]["interval"]] == [0.312, 0.461]
    assert round(found["budget"]["achieved"]["mean"], 4) == 0.4973


def test_what_ties_cost_raders_coarse_grades():
    tasks, first = folder() / "bright_rader_rerank_scores", folder() / "bright_topics_qrels_runs"
    found = errors(
        tasks / "biology.qwen25_all.json.gz",
        "-q",
        first / "biology.qrels.txt",
        "--first-stage",
        first / "biology.reasonir_gpt4cot_top100.run.gz",
        "--ties",
        "first-stage",
    )
    budget = {name: round(part["mean"], 3) for name, part in found["budget"].items() if name != "cases"}
    assert budget["achieved"] == 0.591
    assert budget["ceiling"] == 0.921
    assert (budget["lost_by_ordering"], budget["lost_by_ties"]) == (0.33, 0.162)
    assert found["ties"]["tied"] > 10_000
    assert found["counts"]["strangers"] > 1000, "RaDeR ranked another first stage's candidates"
    assert any("not among the first stage's" in warning for warning in found["warnings"])


@needs_mini
def test_what_mini_confuses_less_than_bm25(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The figures of docs/errors.md; floating point may turn a pair in thousands."""
    place = folder() / "msmarco_small"
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    for recipe in ("prior", "mini"):
        words = ["rerank", "-q", place / "queries.jsonl", "-c", place / "corpus.jsonl.gz", "--recipe", recipe]
        words += ["-o", tmp_path / f"{recipe}.jsonl", "--store", tmp_path / "store"]
        done = CliRunner().invoke(build_app(), [str(word) for word in words])
        assert done.exit_code == 0, done.output
    first = tmp_path / "prior.jsonl"
    options = ("-q", place / "qrels.trec", "--direct-grade", 3, "--first-stage", first, "--against", first)
    found = errors(tmp_path / "mini.jsonl", *options)
    assert found["warnings"][0].startswith("7 queries")
    compared = {(one["worse"], one["better"]): one for one in found["against"]["confusion"]}
    for grade, figures in ((1, (0.327, 0.180, -0.147)), (2, (0.358, 0.279, -0.079))):
        one = compared[f"indirect:grade-{grade}", "direct"]
        assert (one["first"], one["second"], one["difference"]) == pytest.approx(figures, abs=0.001)
        assert one["p"]["randomisation"] < 0.05
    assert found["against"]["measure"]["second"] == pytest.approx(0.807, abs=0.001)
    assert found["against"]["measure"]["first"] == found["budget"]["first_stage"]["mean"]
