"""Rank and score one split of a benchmark: the first stage, the reranker over it, and how they compare.

Equal scores: those of a first stage's run go by a named rule (`limrank_evals.runs`), those of a retriever
by its own order, and a reranker's by the first stage's. The rule is part of a result's identity.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from limrank_evals.comparison import USUAL, Resampling, compare
from limrank_evals.evaluation.first_stages import FirstStage, open_first_stage
from limrank_evals.evaluation.results import results_of
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.evaluation.systems import NO_PROMPTS, describe
from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.measures import parse_measure
from limrank_evals.pmrr import NAME as P_MRR
from limrank_evals.runs import RunLines, TieRule, run_lines_in_order
from limrank_evals.scoring import RunScores, score
from limrank_evals.splits import Split
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import instructed
from limrank_plugins.ranking_job import rank_all
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of, verb_for

WRONG_QUERY = "asked about another query"


def evaluate(
    split: Split,
    reranker: Reranker | None = None,
    *,
    first_stage: str | FirstStage = "",
    depth: int | None = None,
    measures: Sequence[str] = (),
    ties: TieRule = "trec_eval",
    instruct: bool = False,
    wrong_query: bool = False,
    store: Store | None = None,
    batch: int = 1,
    resampling: Resampling = USUAL,
    progress: Callable[[int, int], None] | None = None,
) -> SplitEvaluation:
    """Rank and score a split.

    Args:
        split: what `load_task(name).load(split, source)` makes.
        reranker: None scores the first stage alone.
        first_stage: see `open_first_stage`; "" for the benchmark's own choice.
        depth: how many candidates are reranked and scored; None for the benchmark's own choice.
        measures: as ir_measures writes them, or p-MRR; the benchmark's own by default.
        ties: what puts equal scores of a first stage's run in order.
        instruct: ask with the benchmark's own instruction around every query, where it has one; for a
            reranker without an instruction of its own.
        wrong_query: a control: ask about another query in the place of each, with the candidates and
            judgements of its own. What a reranker gains so, it does not gain by reading the query.
        store: keeps what was found and ranked: a call that was killed goes on where it was.
        batch: queries that are ranked in lockstep and kept together.
        resampling: how intervals and tests are made.
        progress: called with (finished, all) queries of the reranking.

    Raises:
        InputError: an unknown measure or first stage, a run that fits neither queries nor documents, two
            instructions, or `wrong_query` without a reranker or where all queries are the same.
        BackendError: not one document of any query could be judged.
        LimRankError: what the reranker raises.

    Example:
        >>> from limrank_evals import Benchmark, Split, evaluate
        >>> from limrank_plugins import Reranker, samples
        >>> documents, queries, qrels = samples.documents(), samples.queries(), samples.qrels()
        >>> split = Split(Benchmark("samples", "", tuple(queries), documents, qrels), ("nDCG@10", "R@5"))
        >>> evaluation = evaluate(split, Reranker("prior"), first_stage="bm25s:k1=1.2", depth=50)
        >>> evaluation.results[0].identity.first_stage
        'bm25s (k1=1.2, b=0.4)'
        >>> evaluation.comparisons["nDCG@10"].difference
        0.0
    """
    depth = split.depth if depth is None else depth
    measures = tuple(measures) or split.measures
    whole_number("depth", depth, least=1)
    whole_number("batch", batch, least=1)
    if instruct and reranker is not None and reranker.settings.instruction is not None:
        raise InputError("the reranker has an instruction of its own: leave that or instruct=True out")
    if wrong_query and reranker is None:
        raise InputError("wrong_query is what a reranker is asked: name one, or leave it out")
    warnings = _too_deep(
        [name for name in measures if name not in split.own], depth
    )  # before anything is searched: an unknown measure is told here
    benchmark = split.benchmark
    stage = (
        first_stage
        if isinstance(first_stage, FirstStage)
        else open_first_stage(split, first_stage, ties=ties, store=store)
    )
    rows, unknown = _asked_for(stage.find(depth), benchmark)

    def scored(rows: RunLines, ties: TieRule, depth: int | None = None) -> RunScores:
        return score(
            rows,
            benchmark.qrels,
            measures,
            excluded=benchmark.excluded,
            ties=ties,
            depth=depth,
            changed=benchmark.changed,
            own=split.own,
            resampling=resampling,
        )

    first = scored(rows, stage.ties, depth)
    warnings = [*benchmark.checked(), *unknown, *warnings]
    warnings += [*first.warnings(of_ties=stage.is_run), *stage.warnings]
    system = None if reranker is None else describe(reranker)
    if system is not None and wrong_query:
        system = replace(system, name=f"{system.name}, {WRONG_QUERY}")
    around = NO_PROMPTS if system is None else system.prompts
    if instruct and split.instruction:
        around = split.prompts
    told = (split.carried, around, WRONG_QUERY if wrong_query else "")
    prompts = "; ".join(text for text in told if text and text != NO_PROMPTS) or NO_PROMPTS
    setting = {
        "first_stage": stage.name,
        "queries": split.queries,
        "depth": depth,
        "prompts": prompts,
        "ties": stage.ties,
    }
    results = results_of(split, first, setting, None, {}, resampling)
    if reranker is None:
        _known(first, benchmark, warnings)
        return SplitEvaluation(
            benchmark, measures, first, None, (), {}, tuple(results), warnings=tuple(warnings)
        )
    queries = benchmark.queries
    if wrong_query:
        queries = _asked_about_another(queries)
    if instruct and split.instruction:
        queries = tuple(_wrapped(query, split.instruction) for query in queries)
    candidates = _candidates(first, rows, benchmark, scored=stage.scored)
    with ExitStack() as held:
        if store is None:
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="limrank-"))
            store = held.enter_context(Store(Path(folder) / "store.sqlite"))
        records, _ = rank_all(reranker, queries, candidates, store, batch=batch, progress=progress)
    _whole(records, candidates)
    lists = {r["query_id"]: run_lines_in_order([hit["id"] for hit in r["hits"]]) for r in records}
    reranked = scored(lists, "rank")
    failures = sum(len(record["failures"]) for record in records)
    empty = sum(not record["hits"] for record in records)
    unread = Unread.in_records(records)
    warnings += unread.sentences()
    if failures:
        warnings.append(
            f"{number_of(failures, 'document')} could not be judged: they keep their first-stage places, "
            f"and the same command asks for them again"
        )
    counts = {"failures": failures, "without_candidates": empty}
    results += results_of(split, reranked, setting, system, counts, resampling)
    return SplitEvaluation(
        benchmark,
        measures,
        first,
        reranked,
        tuple(records),
        compare(first.measured, reranked.measured, resampling),
        tuple(results),
        failures,
        tuple(dict.fromkeys(warnings)),
        unread=unread,
    )


def slim(evaluated: SplitEvaluation) -> SplitEvaluation:
    """The same without the documents that nobody will look up: neither ranked for a query nor judged."""
    benchmark = evaluated.benchmark
    wanted = {d for ids in evaluated.first.ranked.values() for d in ids}
    wanted |= {d for grades in benchmark.qrels.values() for d in grades}
    kept = tuple(document for document in benchmark.documents if document.id in wanted)
    return replace(evaluated, benchmark=replace(benchmark, documents=kept or benchmark.documents[:1]))


# ---- the first stage's side -----------------------------------------------------------------------


def _too_deep(measures: Sequence[str], depth: int) -> list[str]:
    """A warning for measures that look further down than the lists go."""
    cuts = {name: parse_measure(name).params.get("cutoff") for name in measures if name != P_MRR}
    deep = [name for name, cut in cuts.items() if cut is not None and cut > depth]
    return (
        [f"{', '.join(deep)}: looks further down than the {number_of(depth, 'document')} of a list"]
        if deep
        else []
    )


def _asked_for(rows: RunLines, benchmark: Benchmark) -> tuple[RunLines, list[str]]:
    """The rows of the benchmark's queries, and a warning about others."""
    known = {query.id for query in benchmark.queries}
    others = [query for query in rows if query not in known]
    warnings = []
    if others:
        warnings.append(
            f"{number_of(len(others), 'query')} of the first stage {verb_for(len(others), 'are')} not "
            "among the benchmark's, for example "
            f"{others[0]!r}: left out"
        )
    return {query: lines for query, lines in rows.items() if query in known}, warnings


def _known(first: RunScores, benchmark: Benchmark, warnings: list[str]) -> None:
    """Nothing is read of documents that are not in the corpus where nothing is reranked: a warning."""
    documents = {document.id for document in benchmark.documents}
    unknown = {d for ids in first.ranked.values() for d in ids} - documents
    if unknown:
        warnings.append(
            f"{number_of(len(unknown), 'document')} of the first stage {verb_for(len(unknown), 'are')} "
            f"not in the corpus, for example {min(unknown)!r}"
        )


def _candidates(
    first: RunScores, rows: RunLines, benchmark: Benchmark, *, scored: bool
) -> list[list[Document]]:
    """What is reranked: without excluded documents, cut, with the first stage's scores."""
    texts = {document.id: document for document in benchmark.documents}
    unknown = sorted({d for found in first.ranked.values() for d in found} - set(texts))
    if unknown:
        raise InputError(
            f"the first stage names {number_of(len(unknown), 'document')} that {benchmark.name} "
            f"{benchmark.split} does "
            f"not hold, for example {unknown[0]!r}: they belong to another corpus"
        )
    found = []
    for query in benchmark.queries:
        scores = {row.document_id: row.score for row in rows.get(query.id, ())} if scored else {}
        ids = first.ranked.get(query.id, [])
        found.append([replace(texts[d], prior=scores.get(d)) for d in ids])
    return found


def _wrapped(query: Query, instruction: str) -> Query:
    """The query inside the benchmark's instruction; its own, which that has taken in, is gone."""
    return replace(query, text=instructed(query, instruction), instruction="")


# ---- the reranker's side --------------------------------------------------------------------------


def _asked_about_another(queries: Sequence[Query]) -> tuple[Query, ...]:
    """Each query's id with the text of one half a list away: neighbours are often about the same."""
    others = []
    for place, query in enumerate(queries):
        onwards = (queries[(place + len(queries) // 2 + step) % len(queries)] for step in range(len(queries)))
        other = next((each for each in onwards if each.text != query.text), None)
        if other is None:
            raise InputError("wrong_query needs queries of different texts, but here all are the same")
        others.append(replace(other, id=query.id))
    return tuple(others)


def _whole(records: Sequence[Mapping[str, Any]], candidates: Sequence[Sequence[Document]]) -> None:
    """What goes in comes out: a reranker that loses or invents documents would change every measure."""
    for record, documents in zip(records, candidates, strict=True):
        if {hit["id"] for hit in record["hits"]} != {document.id for document in documents}:
            raise AssertionError(
                f"query {record['query_id']!r} came back with other documents than it went in"
            )
