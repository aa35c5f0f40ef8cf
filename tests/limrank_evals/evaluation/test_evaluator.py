"""One split ranked and scored, against numbers computed by hand."""

from __future__ import annotations

import doctest
import random
from collections.abc import Callable
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import benchmark_folders as made
import pytest

from limrank_evals import Split, evaluate, load_task, tasks
from limrank_evals.comparison import Resampling
from limrank_evals.evaluation import evaluator
from limrank_evals.evaluation.evaluator import slim
from limrank_evals.pmrr import p_mrr
from limrank_plugins import Document, Query, Reranker, ScriptedBackend, ScriptedFailure, Store
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Prompt

FEW = {"resampling": Resampling(resamples=50)}


def knowing(**scripts: Any) -> ScriptedBackend:
    """A model that says yes to passages with the word good, and is sure of the others' order."""

    def logits(prompt: Prompt) -> tuple[float, float]:
        passage = next(segment.text for segment in prompt.segments if segment.cuttable)
        return (5.0 if "good" in passage else 0.0, 1.0)

    return ScriptedBackend(**{"read_labels": logits, **scripts})


def limrank(backend: ScriptedBackend | None = None, **options: Any) -> Reranker:
    return Reranker("limrank", backend=backend or knowing(), reasoning="none", **options)


def prompts(backend: ScriptedBackend) -> list[str]:
    return [request.prompt.text for request in backend.requests]  # type: ignore[union-attr]


@pytest.fixture
def folder(tmp_path: Path) -> Split:
    made.run(tmp_path / "first.run", made.LISTS)
    return load_task("folder").load("test", str(made.beir(tmp_path / "set")))


def test_the_examples_in_the_docstrings_run():
    for module in (evaluator, tasks):
        assert doctest.testmod(module, raise_on_error=True).attempted > 2


def test_before_and_after_as_computed_by_hand(folder: Split, tmp_path: Path):
    found = evaluate(folder, limrank(), first_stage=str(tmp_path / "first.run"), measures=["nDCG@10"], **FEW)
    # The relevant ones stand third; second and fourth; first. The model puts them on top.
    two = (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3))
    assert found.first.measured.per_query["nDCG@10"] == pytest.approx({"1": 0.5, "2": two, "3": 1.0})
    assert found.reranked is not None
    assert found.reranked.measured.per_query["nDCG@10"] == pytest.approx({"1": 1.0, "2": 1.0, "3": 1.0})
    compared = found.comparisons["nDCG@10"]
    assert compared.difference == pytest.approx(1 - (0.5 + two + 1) / 3)
    assert compared.record == (2, 1, 0)
    assert found.reranked.ranked["2"] == ["b1", "b3", "b0", "b2"], "equal scores stay in first-stage order"
    assert found.failures == 0
    assert found.warnings == ()


def test_the_identity_says_everything(folder: Split, tmp_path: Path):
    run = str(tmp_path / "first.run")
    first, after = evaluate(folder, limrank(samples=1), first_stage=run, depth=3, **FEW).results
    assert first.identity.setting() == after.identity.setting()
    assert first.identity.setting() == {
        "first_stage": "first.run",
        "queries": "original",
        "depth": 3,
        "prompts": "none",
        "qrels": "test.tsv",
        "ties": "trec_eval",
        "averaging": "",
    }
    assert (first.identity.recipe, first.identity.model, first.identity.backend) == ("", "", "")
    assert (after.identity.recipe, after.identity.backend) == ("limrank", "scripted, reasoning none")
    assert (first.system, after.system) == ("first.run", "limrank, reasoning none")
    assert after.identity.version
    searched = evaluate(folder, first_stage="bm25s:k1=1.5", **FEW).results[0].identity
    assert (searched.first_stage, searched.ties) == ("bm25s (k1=1.5, b=0.4)", "rank")


def test_the_reranker_gets_the_first_stages_scores_and_the_whole_depth(folder: Split, tmp_path: Path):
    run = made.run(tmp_path / "scored.run", made.LISTS, {"a0": 7.5})
    seen: list[Document] = []

    class Watching(Reranker):
        def rank_many(self, jobs: Any, **options: Any) -> Any:
            jobs = [(query, list(documents)) for query, documents in jobs]
            seen.extend(document for _, documents in jobs for document in documents)
            return super().rank_many(jobs, **options)

    evaluate(folder, Watching("prior"), first_stage=str(run), depth=3, **FEW)
    assert [document.id for document in seen[:3]] == ["a0", "a1", "a2"]
    assert seen[0].prior == 7.5
    assert len(seen) == 9


@pytest.mark.parametrize("first_stage", ["run", "bm25s"])
def test_excluded_documents_score_as_if_they_had_never_been(tmp_path: Path, first_stage: str):
    """They stand on top of the run, and would take places inside the cut."""
    out = {"1": ["a0", "a1"], "3": ["c1"]}
    clean = {q: [d for d in found if d not in out.get(q, ())] for q, found in made.LISTS.items()}
    backends = [knowing(), knowing()]
    found = []
    for name, lists, backend in (("dirty", made.LISTS, backends[0]), ("clean", clean, backends[1])):
        source = made.bright(tmp_path / name, "pony", excluded=out)
        part = load_task("bright").load("pony", str(source), strict=False)
        spec = str(made.run(tmp_path / f"{name}.run", lists)) if first_stage == "run" else first_stage
        found.append(evaluate(part, limrank(backend), first_stage=spec, depth=2, **FEW))
    dirty, pure = found
    assert dirty.reranked is not None
    assert pure.reranked is not None
    assert dirty.reranked.measured == pure.reranked.measured
    assert dirty.first.measured == pure.first.measured
    assert prompts(backends[0]) == prompts(backends[1])
    assert all(len(ids) == 2 for ids in dirty.reranked.ranked.values()), "the next ones take their places"
    assert not {d for q in out for d in dirty.reranked.ranked[q]} & {"a0", "a1", "c1"}
    if first_stage == "run":
        assert (dirty.first.removed, pure.first.removed) == (3, 0)
        assert dirty.results[0].counts["excluded_removed"] == 3


def test_brights_reasoning_queries_are_for_the_first_stage_alone(tmp_path: Path):
    task, backend = load_task("bright"), knowing()
    source = str(made.bright(tmp_path, "pony"))
    part = task.load("pony", source, strict=False, queries="gpt4_reason")
    found = evaluate(part, limrank(backend), **FEW)
    # The thought of query 1 is about beta.
    assert sorted(found.first.ranked["1"]) == ["b0", "b1", "b2", "b3"]
    asked = [prompt for prompt in prompts(backend) if "beta passage b0" in prompt]
    assert len(asked) == 1
    assert "what about alpha" in asked[0]
    assert "thinking" not in asked[0]
    assert {result.identity.queries for result in found.results} == {"gpt4_reason"}
    plain = evaluate(task.load("pony", source, strict=False), **FEW)
    assert sorted(plain.first.ranked["1"]) == ["a0", "a1", "a2", "a3"]


def test_a_benchmarks_instruction_goes_around_the_query_and_into_the_identity(tmp_path: Path):
    source = str(made.bright(tmp_path, "pony"))
    part = load_task("bright").load("pony", source, strict=False)
    plain, told = knowing(), knowing()
    assert evaluate(part, limrank(plain), **FEW).results[1].identity.prompts == "none"
    found = evaluate(part, limrank(told), instruct=True, **FEW)
    assert {r.identity.prompts for r in found.results} == {"bright, in this package's words"}
    assert all("programming language Pony: what about" in prompt for prompt in prompts(told))
    assert not any("Pony" in prompt for prompt in prompts(plain))
    # The same through the reranker's own setting: nothing else is asked.
    own = knowing()
    named = evaluate(part, limrank(own, instruction="bright/pony"), **FEW)
    assert prompts(own) == prompts(told)
    assert named.results[1].identity.prompts == "bright/pony, in this package's words"
    with pytest.raises(InputError, match="instruction of its own"):
        evaluate(part, limrank(own, instruction="bright"), instruct=True, **FEW)


def test_a_control_asks_about_another_query_with_the_candidates_of_its_own(tmp_path: Path):
    part = load_task("bright").load("pony", str(made.bright(tmp_path, "pony")), strict=False)
    right, wrong = knowing(), knowing()
    own = evaluate(part, limrank(right), **FEW)
    control = evaluate(part, limrank(wrong), wrong_query=True, **FEW)
    texts = [query.text for query in part.benchmark.queries]
    half = len(texts) // 2
    for place, query in enumerate(part.benchmark.queries):
        assert own.reranked is not None
        assert control.reranked is not None
        assert sorted(control.reranked.ranked[query.id]) == sorted(own.reranked.ranked[query.id])
        passage = next(d.text for d in part.benchmark.documents if d.id == own.first.ranked[query.id][0])
        asked = [prompt for prompt in prompts(wrong) if passage in prompt]
        assert all(texts[(place + half) % len(texts)] in prompt for prompt in asked)
        assert asked
    assert control.results[1].system.endswith(", asked about another query")
    assert control.results[1].identity.prompts == own.results[1].identity.prompts.replace(
        "none", "asked about another query"
    )
    assert control.first.measured == own.first.measured
    queries = part.benchmark.queries
    same = tuple(replace(query, text=queries[0].text) for query in queries)
    alike = replace(part, benchmark=replace(part.benchmark, queries=same))
    with pytest.raises(InputError, match="wrong_query is what a reranker is asked"):
        evaluate(part, wrong_query=True, **FEW)
    with pytest.raises(InputError, match="wrong_query needs queries of different texts"):
        evaluate(alike, limrank(wrong), wrong_query=True, **FEW)


def test_followir_hands_the_instruction_on_and_follows_the_change(tmp_path: Path):
    part = load_task("followir").load("News21", str(made.followir(tmp_path)), strict=False)

    def obeying(prompt: Prompt) -> tuple[float, float]:
        passage = next(segment.text for segment in prompt.segments if segment.cuttable)
        wanted = "Nothing good counts." not in prompt.text
        return (2.0 if ("good" in passage) == wanted else 0.0, 1.0)

    backend = knowing(read_labels=obeying)
    found = evaluate(part, limrank(backend), **FEW)
    assert any("what about alpha Everything counts." in prompt for prompt in prompts(backend))
    assert found.first.measured.means["p-MRR"] == 0.0, "the given lists are the same on both sides"
    assert found.reranked is not None
    ranked = found.reranked.ranked
    assert (ranked["1-og"], ranked["1-changed"]) == (["a2", "a0", "a1", "a3"], ["a0", "a1", "a3", "a2"])
    # a2 falls from 1 to 4, b1 from 1 to 3: 1 - 1/4 and 1 - 1/3.
    expected = p_mrr(ranked, {"1": ["a2"], "2": ["b1"]})
    assert expected.mean == pytest.approx((0.75 + 2 / 3) / 2)
    assert found.reranked.measured.per_query["p-MRR"] == pytest.approx(dict(expected.per_query))
    assert found.measures == ("p-MRR", "nDCG@5")
    assert found.results[1].identity.depth == 1000
    assert found.results[1].identity.first_stage == "given with the benchmark"


def test_p_mrr_looks_at_the_documents_the_benchmark_names(tmp_path: Path):
    folder = made.followir(tmp_path)
    made.put(folder, "qrel_diff", "qrel_diff", [{"query-id": "1", "corpus-ids": ["a2"]}])
    part = load_task("followir").load("News21", str(folder), strict=False)
    found = evaluate(part, limrank(), **FEW)
    assert found.reranked is not None
    assert list(found.reranked.measured.per_query["p-MRR"]) == ["1"], "by the judgements there were two"


def test_litsearch_averages_in_both_ways(tmp_path: Path):
    source = str(made.litsearch(tmp_path))
    part = load_task("litsearch").load("all", source, strict=False)
    lists = {"q1": ["100"], "q2": ["105", "107"], "q3": ["108"]}
    found = evaluate(part, first_stage=str(made.run(tmp_path / "x.run", lists)), **FEW)
    values = {(r.identity.split, m): s for r in found.results for m, s in r.scores.items()}
    assert values[("specific", "R@5")] == 0.5  # of q1 and q3, the second one is found
    assert values[("broad", "R@20")] == 1.0
    assert values[("all", "R@5")] == pytest.approx(2 / 3)
    assert ("specific", "R@20") not in values
    counts = {r.identity.split: r.counts["judged"] for r in found.results}
    assert counts == {"specific": 2, "broad": 1, "all": 3}
    assert {r.identity.averaging for r in found.results} == {
        "LitSearch: specific questions",
        "LitSearch: broad questions",
        "mteb: all questions",
    }
    mteb = load_task("litsearch").load("all", source, strict=False, averaging="mteb")
    assert [one.name for one in mteb.averages] == ["mteb: all questions"]
    # A measure of one's own is measured over every group.
    own = evaluate(part, measures=["RR"], first_stage=str(tmp_path / "x.run"), **FEW)
    assert [list(result.scores) for result in own.results] == [["RR"]] * 3


def test_arguana_does_not_find_its_queries_themselves(tmp_path: Path):
    folder = made.beir(tmp_path / "arguana")
    made.lines(folder / "queries.jsonl", [{"_id": "a0", "text": "alpha passage a0"}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\na0\ta2\t1\n")
    for source in (tmp_path, folder):
        part = load_task("beir").load("arguana", str(source), strict=False)
        found = evaluate(part, **FEW)
        assert "a0" not in found.first.ranked["a0"]
        assert part.benchmark.excluded == {"a0": {"a0"}}
        assert (found.benchmark.name, found.benchmark.split) == ("BEIR", "arguana")
        assert any("8,674 were published" in warning for warning in found.warnings)


def test_what_cannot_be_judged_is_counted_and_never_a_smaller_denominator(folder: Split, tmp_path: Path):
    def failing(prompt: Prompt) -> tuple[float, float]:
        if "passage b1" in prompt.text or "alpha" in prompt.text:
            raise ScriptedFailure("no answer")
        return (1.0, 0.0)

    run = str(tmp_path / "first.run")
    found = evaluate(folder, limrank(knowing(read_labels=failing)), first_stage=run, **FEW)
    assert found.reranked is not None
    assert found.failures == 5
    assert found.results[1].counts["failures"] == 5
    assert found.results[1].counts["judged"] == 3
    assert found.reranked.ranked["1"] == made.LISTS["1"], "they keep their places"
    assert any(w.startswith("5 documents could not be judged") for w in found.warnings)


def test_queries_the_first_stage_has_nothing_for_count_as_0(folder: Split, tmp_path: Path):
    run = made.run(tmp_path / "half.run", {"3": ["c0"], "99": ["a0"]})
    found = evaluate(folder, limrank(), first_stage=str(run), measures=["nDCG@10"], **FEW)
    for scored in (found.first, found.reranked):
        assert scored is not None
        assert scored.measured.per_query["nDCG@10"] == {"1": 0.0, "2": 0.0, "3": 1.0}
        assert scored.counts()["without_results"] == 2
    assert found.results[1].counts["without_candidates"] == 2
    assert found.warnings.count("2 queries (1, 2) judged but without results: counted as 0") == 1
    assert any(w.startswith("1 query of the first stage is not among") for w in found.warnings)


def test_judgements_that_fit_nothing_stay_in_every_denominator(folder: Split, tmp_path: Path):
    qrels = folder.benchmark.qrels | {"1": {"a2": 1, "nowhere": 1}, "9": {"a0": 1}}
    part = replace(folder, benchmark=replace(folder.benchmark, qrels=qrels))
    # Nobody could rerank query 9: that a run answers it must not set the first stage apart.
    run = made.run(tmp_path / "more.run", made.LISTS | {"9": ["a0"]})
    found = evaluate(part, first_stage=str(run), measures=["R@4"], **FEW)
    assert found.first.measured.per_query["R@4"] == {"1": 0.5, "2": 1.0, "3": 1.0, "9": 0.0}
    assert found.first.counts()["judged"] == 4
    assert "1 relevant document is not in the corpus, for example 'nowhere'" in found.warnings
    assert "1 judged query is not among the queries, e.g. '9'" in found.warnings


def test_a_run_of_another_corpus_or_of_no_query_is_refused(folder: Split, tmp_path: Path):
    run = str(made.run(tmp_path / "other.run", {"1": ["a0", "zz"]}))
    with pytest.raises(InputError, match=r"names 1 document .* does not hold, for example 'zz'"):
        evaluate(folder, limrank(), first_stage=run, **FEW)
    told = evaluate(folder, first_stage=run, **FEW).warnings
    assert "1 document of the first stage is not in the corpus, for example 'zz'" in told
    run = str(made.run(tmp_path / "none.run", {"99": ["a0"]}))
    with pytest.raises(InputError, match="no query of the run is judged"):
        evaluate(folder, first_stage=run, **FEW)


def test_equal_scores_go_by_the_rule_whatever_the_order_of_lines(folder: Split, tmp_path: Path):
    run = made.run(tmp_path / "tied.run", made.LISTS, {d: 1.0 for d, _ in made.passages()})
    luck = random.Random(7)
    rows = run.read_text().splitlines(keepends=True)
    for rule, best in (("trec_eval", "a3"), ("rank", "a0")):
        seen = set()
        for _ in range(5):
            luck.shuffle(rows)
            run.write_text("".join(rows))
            found = evaluate(folder, limrank(), first_stage=str(run), ties=rule, **FEW)  # type: ignore[arg-type]
            seen.add(repr((found.first.measured, found.records)))
            assert found.first.ranked["1"][0] == best
            assert {r.identity.ties for r in found.results} == {rule}
        assert len(seen) == 1
        assert any("have the same score" in warning for warning in found.warnings)


def test_nothing_is_searched_or_asked_twice_with_a_store(folder: Split, tmp_path: Path, monkeypatch: Any):
    first, again = knowing(), knowing()
    with Store(tmp_path / "store.sqlite") as store:
        one = evaluate(folder, limrank(first), first_stage="bm25s", store=store, **FEW)
        monkeypatch.setattr("limrank_evals.retriever_specs.build_retriever", _never)
        two = evaluate(folder, limrank(again), first_stage="bm25s", store=store, **FEW)
    assert len(first.requests) == 12
    assert not again.requests
    assert (one.first, one.reranked, one.results) == (two.first, two.reranked, two.results)


def _never(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("it searched again")


def test_what_is_asked_for_must_make_sense(folder: Split):
    for options, words in [
        ({"depth": 0}, "depth must be a whole number >= 1, but got 0"),
        ({"batch": 0}, "batch must be a whole number >= 1, but got 0"),
        ({"measures": ["nDCG@ten"]}, "no measure 'nDCG@ten'"),
        ({"first_stage": "bm26"}, "no first stage 'bm26'"),
        ({"first_stage": "given"}, "comes without candidates"),
    ]:
        with pytest.raises(InputError, match=words):
            evaluate(folder, **options)  # type: ignore[arg-type]
    told = evaluate(folder, depth=3, measures=["nDCG@10"], **FEW).warnings
    assert "nDCG@10: looks further down than the 3 documents of a list" in told


def test_a_reranker_that_loses_documents_is_a_bug_not_a_score(folder: Split, monkeypatch: Any):
    real: Callable[..., Any] = Reranker.rank_many
    monkeypatch.setattr(Reranker, "rank_many", lambda self, jobs, **o: real(self, jobs, top_n=1))
    with pytest.raises(AssertionError, match="other documents than it went in"):
        evaluate(folder, limrank(), **FEW)


def test_a_slim_split_keeps_what_is_ranked_or_judged(folder: Split, tmp_path: Path):
    run = made.run(tmp_path / "short.run", {"1": ["a0"], "2": ["b0"], "3": ["c1"]})
    found = slim(evaluate(folder, first_stage=str(run), **FEW))
    assert sorted(d.id or "" for d in found.benchmark.documents) == ["a0", "a2", "b0", "b1", "b3", "c0", "c1"]


def test_the_queries_to_search_with_must_be_the_benchmarks(folder: Split):
    with pytest.raises(InputError, match="their ids differ"):
        replace(folder, searched=(Query("x", "1"),))
    with pytest.raises(InputError, match="no group of queries"):
        replace(folder, averages=())
