"""Evaluations for the tests of reports: small runs, scored and compared as `limrank eval` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limrank_evals.comparison import Resampling, compare
from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.identity import Identity, Result
from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.runs import run_lines_of
from limrank_evals.scoring import RunScores, score
from limrank_plugins import samples
from limrank_plugins.data import Document, Query

Lists = Mapping[str, Sequence[str]]
MEASURES = ("nDCG@10", "R@5")
FEW = Resampling(resamples=200)
HOSTILE = (
    "</script><script>window.taken = 1</script><img src=x onerror='window.taken = 1'><!-- ]]> {{ 7 * 7 }} "
    "\u202egnp.exe\u202c \u2028 \x00 \ud800 \x1b[31m \" ' & &amp; \\ $x$ % | </think> true"
)


def evaluation(
    benchmark: Benchmark,
    first: Lists,
    after: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    *,
    measures: Sequence[str] = MEASURES,
    systems: tuple[str, str] = ("bm25s", "limrank"),
    comparable: bool = True,
    **more: Any,
) -> SplitEvaluation:
    """`after` has for every query its hits, best first, as dictionaries with `id` and what else is known."""
    qrels, excluded = benchmark.qrels, benchmark.excluded
    setting = {"first_stage": systems[0], "queries": "original", "depth": 100, "qrels": benchmark.variant}
    before = score(_rows(first), qrels, measures, excluded=excluded, resampling=FEW)
    results = [_result(benchmark, systems[0], before, setting)]
    if after is None:
        return SplitEvaluation(benchmark, tuple(measures), before, None, (), {}, tuple(results), **more)
    records = [
        {
            "query_id": query.id,
            "recipe": "limrank",
            "score_kind": "probability" if comparable else "rank",
            "comparable": comparable,
            "failures": [],
            "repairs": 0,
            "hits": [{"rank": place, **hit} for place, hit in enumerate(after.get(query.id, ()), start=1)],
        }
        for query in benchmark.queries
    ]
    lists = {record["query_id"]: [hit["id"] for hit in record["hits"]] for record in records}
    last = score(
        _rows(lists),
        qrels,
        measures,
        excluded=excluded,
        ties="rank",
        resampling=FEW,
    )
    results.append(_result(benchmark, systems[1], last, setting, recipe="limrank", model="limrank-7b"))
    return SplitEvaluation(
        benchmark,
        tuple(measures),
        before,
        last,
        tuple(records),
        compare(before.measured, last.measured, resampling=FEW),
        tuple(results),
        failures=sum("failure" in hit for record in records for hit in record["hits"]),
        **more,
    )


def sample_evaluation(kind: str = "daily", **more: Any) -> SplitEvaluation:
    """The shipped sample's queries of one kind; the reranker's scores and traces are made up from grades."""
    rows = [row for row in samples.query_rows() if row["kind"] == kind]
    texts = samples.documents()
    why = {(row["query_id"], row["document_id"]): row["reason"] for row in samples.reasons()}
    qrels = {row["_id"]: samples.qrels()[row["_id"]] for row in rows}
    first, after = {}, {}
    for number, row in enumerate(rows):
        name = row["_id"]
        # Judged documents among others, spread by numbers that share no factor with anything here.
        pool = [*qrels[name], *(document.id for document in texts[number::7])][:30]
        pool = list(dict.fromkeys(str(d) for d in pool))
        first[name] = sorted(pool, key=lambda d: hash_of(name, d, 97))
        hits = []
        for document in first[name]:
            grade = qrels[name].get(document, 0)
            noise = hash_of(document, name, 89) / 89
            value = round(min(0.999, 0.32 * grade + 0.62 * noise * (1.1 if number % 5 else 1.5)), 3)
            reason = why.get((name, document), "It is about something else.")
            hits.append(
                {"id": document, "score": value, "explanation": f"{reason}\n\nSo the answer is clear."}
            )
        hits.sort(key=lambda hit: -hit["score"])
        if number % 6 == 5:
            hits[3] |= {"score": None, "explanation": None, "failure": "no verdict within 8,192 tokens"}
        after[name] = hits
    benchmark = Benchmark(
        "samples",
        kind,
        tuple(Query(row["text"], row["_id"]) for row in rows),
        texts,
        qrels,
        licence="MIT",
        variant="graded",
    )
    return evaluation(benchmark, first, after, **more)


def hostile() -> SplitEvaluation:
    """The hostile text wherever a benchmark, a model or a user can put one."""
    queries = (Query(HOSTILE, f"q{HOSTILE}", HOSTILE), Query("plain", "q1"))
    documents = (Document(HOSTILE, f"d{HOSTILE}", HOSTILE), Document("plain", "d1"))
    ids = [document.id or "" for document in documents]
    first = {query.id or "": ids for query in queries}
    hits = [
        {"id": ids[1], "score": 0.5, "explanation": HOSTILE},
        {"id": ids[0], "score": None, "failure": HOSTILE},
    ]
    benchmark = Benchmark(
        f"B{HOSTILE}",
        f"S{HOSTILE}",
        queries,
        documents,
        {query: {ids[0]: 1} for query in first},
        licence=HOSTILE,
        variant=HOSTILE,
    )
    return evaluation(
        benchmark,
        first,
        dict.fromkeys(first, hits),
        systems=(f"first {HOSTILE}", f"second {HOSTILE}"),
        warnings=(HOSTILE,),
    )


def hash_of(first: str, second: str, modulus: int) -> int:
    """A number that looks drawn and is the same everywhere."""
    value = 7
    for letter in f"{first}/{second}":
        value = (value * 31 + ord(letter)) % 1_000_003
    return value % modulus


def bright(split: str, **more: Any) -> SplitEvaluation:
    """Three queries of one task of BRIGHT: one wins, one loses, one has nothing relevant and a failure."""
    queries = tuple(Query(f"{split} {n}?", f"{n}") for n in range(3))
    documents = tuple(Document(f"about {n}", f"d{n}") for n in range(4))
    qrels = {"0": {"d0": 1}, "1": {"d1": 2, "d2": 1, "d3": 0}, "2": {"d3": 1, "gone": 1}}
    first = {"0": ["d1", "d0"], "1": ["d1", "d0", "d2"], "2": ["d0", "d1"]}
    after = {
        "0": [{"id": "d0", "score": 0.9}, {"id": "d1", "score": 0.1}],
        "1": [{"id": "d0", "score": 0.6}, {"id": "d1", "score": 0.5}, {"id": "d2", "score": 0.2}],
        "2": [{"id": "d1", "score": 0.6}, {"id": "d0", "score": None, "failure": "no verdict"}],
    }
    return evaluation(
        Benchmark("BRIGHT", split, queries, documents, qrels, variant="published"), first, after, **more
    )


def large(queries: int, depth: int, text: str) -> SplitEvaluation:
    """Many queries with long lists; every query has two relevant documents, one of them far down."""
    names = [f"q{number}" for number in range(queries)]
    documents = tuple(Document(f"{text} {number}", f"d{number}") for number in range(depth * 3))
    lists = {
        name: [f"d{(place * 7 + number) % (depth * 3)}" for place in range(depth)]
        for number, name in enumerate(names)
    }
    qrels = {name: {lists[name][3]: 1, lists[name][-1]: 1, lists[name][5]: 0} for name in names}
    after = {
        name: [
            {"id": d, "score": 1 - place / depth, "explanation": f"{text} {text}"}
            for place, d in enumerate([*found[3:], *found[:3]] if number % 2 else [found[-1], *found[:-1]])
        ]
        for number, (name, found) in enumerate(lists.items())
    }
    benchmark = Benchmark(
        "large", "", tuple(Query(f"{text[:90]} {name}?", name) for name in names), documents, qrels
    )
    return evaluation(benchmark, lists, after, measures=("nDCG@10",))


def _rows(lists: Lists) -> Any:
    return run_lines_of(
        {
            query: {d: float(len(found) - place) for place, d in enumerate(found)}
            for query, found in lists.items()
        }
    )


def _result(
    benchmark: Benchmark, system: str, scored: RunScores, setting: dict[str, Any], **more: str
) -> Result:
    return Result(
        system,
        Identity(benchmark.name, benchmark.split, **setting, **more),
        scored.measured.means,
        {name: interval for name, interval in scored.intervals.items() if interval is not None},
        scored.counts(),
    )
