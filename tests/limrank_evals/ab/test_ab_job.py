"""Two rerankers compared: against eval compare's numbers, resumed, refused, failing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripts import reranker

from limrank_evals.ab.ab_job import A, AbOutcome, B, ab_into
from limrank_evals.ab.ab_report import ab_grids, compare_sides
from limrank_evals.comparison import Resampling, compare
from limrank_evals.runs import arranged, read_run_lines, run_lines_of
from limrank_evals.scoring import score
from limrank_plugins import Reranker, samples
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import build_retriever

FEW = Resampling(resamples=100)
QUERIES = samples.queries()[:8]
CANDIDATES = build_retriever("bm25s", list(samples.documents())).search_many(QUERIES, 12)


def run(folder: Path, second: Reranker, **more: Any) -> AbOutcome:
    qrels = more.pop("qrels", None)

    def report_of(ranked: Any, notes: list[str]) -> Any:
        return compare_sides(
            QUERIES,
            ranked[A],
            ranked[B],
            cutoff=5,
            qrels=qrels,
            resampling=FEW,
            settings={"level": 0.95},
            notes=notes,
        )

    return ab_into(folder, QUERIES, CANDIDATES, {A: Reranker("prior"), B: second}, {}, report_of, **more)


def test_numbers_are_those_of_the_runs_it_writes(tmp_path: Path):
    qrels = samples.qrels()  # of more queries than were asked
    outcome = run(tmp_path / "ab", reranker(reasoning="none"), qrels=qrels)
    report, place = outcome.report, outcome.place
    first, second = (arranged(read_run_lines(place / f"{name}.jsonl")) for name in "ab")
    same = sum(first[query][0] == second[query][0] for query in first) / 8
    assert report.alike["same first document"].mean == pytest.approx(same)
    overlaps = [len({*first[q][:5]} & {*second[q][:5]}) / 5 for q in first]
    assert report.alike["overlap of the first 5"].mean == pytest.approx(sum(overlaps) / 8)
    assert [query.rbo for query in report.moved] == sorted(query.rbo for query in report.moved)
    measured = [score(read_run_lines(place / f"{name}.jsonl"), qrels, ["nDCG@10"]).measured for name in "ab"]
    assert report.comparisons == compare(*measured, FEW)
    assert json.loads((place / "report.json").read_text()) == report.as_json()
    grids = ab_grids(report, most=3)
    assert [len(grid.rows) for grid in grids] == [5, 1, 3]
    assert "queries that move most" in (place / "table.md").read_text()


def test_judgements_that_come_later_rank_nothing_again(tmp_path: Path):
    first = reranker(reasoning="none")
    run(tmp_path / "ab", first)
    asked = len(first.backend.requests)  # type: ignore[attr-defined]
    assert asked
    outcome = run(tmp_path / "ab", first, qrels=samples.qrels())
    assert len(first.backend.requests) == asked  # type: ignore[attr-defined]
    assert outcome.report.comparisons["nDCG@10"].queries == len(samples.qrels()), "all that are judged"


def test_what_does_not_belong_together(tmp_path: Path):
    with pytest.raises(InputError, match="A and B are the same reranker"):
        run(tmp_path / "ab", Reranker("prior"))
    with pytest.raises(InputError, match="no query of the run is judged: its queries are like 'q01'"):
        run(tmp_path / "ab", reranker(reasoning="none"), qrels={"other": {"a": 1}})
    with pytest.raises(InputError, match="other settings: B is"):
        run(tmp_path / "ab", reranker("rankgpt"))
    with pytest.raises(InputError, match="finds nothing for any"):
        compare_sides(QUERIES, {}, {}, resampling=FEW, settings={})


def test_queries_without_candidates_or_judgements_are_told():
    ranked = {"q01": ["a", "b"], "q02": ["a", "b"]}
    other = {"q01": ["b", "a"], "q02": ["a", "b"]}
    qrels = {"q01": {"a": 1}, "q03": {"a": 1}, "other": {"a": 1}}
    report = compare_sides(
        QUERIES[:3], ranked, other, cutoff=2, qrels=qrels, resampling=FEW, settings={"level": 0.9}
    )
    assert report.warnings == (
        "1 query has no candidates: left out of the overlap",
        "2 queries (other, q03) judged but without results: counted as 0",
        "1 query (q02) in the run but not judged: left out",
    )
    assert report.comparisons["nDCG@10"].difference == pytest.approx((0.6309 - 1) / 3, abs=1e-4)
    of_a = score(run_lines_of({q: {"a": 2, "b": 1} for q in ranked}), qrels, ["nDCG@10"]).measured
    assert report.comparisons["nDCG@10"].first == of_a.means["nDCG@10"], "the rule of eval run"
    assert [query.query for query in report.moved] == ["q01", "q02"]
    assert report.moved[0].overlap == 1
    longer = compare_sides(QUERIES[:1], ranked, other, resampling=FEW, settings={"level": 0.9})
    assert longer.warnings == ("1 query has fewer than 10 candidates: all of them are compared",)
    assert longer.alike["same documents in the first 10"].mean == 1
