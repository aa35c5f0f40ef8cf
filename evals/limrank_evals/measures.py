"""Measures of rankings, by ir_measures: `nDCG@10`, `MAP@1000`, `R@20`, `RR`, … per query and on average.

Which mean is over what: every mean is over all judged queries, that is, all that have a line in the
judgements. A judged query without results, or without a relevant document, counts as 0; a query without
judgements does not count. How many there are of each is part of the answer, because tools differ here
(trec_eval leaves out queries without results unless told otherwise).

The order is settled before anything is measured (`limrank_evals.runs`): ir_measures is handed ranks, so its
providers, which break ties in different ways, have none to break. `MAP` is `AP`, `MRR` is `RR`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_evals.judgements import Qrels, relevant
from limrank_evals.pmrr import NAME as P_MRR
from limrank_evals.pmrr import changed_documents, p_mrr
from limrank_evals.runs import check_ranked
from limrank_plugins.errors import InputError, require
from limrank_plugins.wording import shortened

OwnMeasure = Callable[[str, Sequence[str]], float]
"""A measure that ir_measures does not have: of a query and its ranked documents."""

DEFAULT_MEASURES = ("nDCG@10", "nDCG@5", "MAP@1000", "RR@10", "R@5", "R@20", "R@100")


@dataclass(frozen=True, slots=True)
class QueryCoverage:
    """Which queries a mean is over, and which it is not.

    Attributes:
        judged: queries with judgements: the denominator.
        without_results: judged ones the run has nothing for; they count as 0.
        without_relevant: judged ones with no relevant document; they count as 0.
        without_judgements: queries of the run that nobody judged; they do not count.
    """

    judged: tuple[str, ...]
    without_results: tuple[str, ...] = ()
    without_relevant: tuple[str, ...] = ()
    without_judgements: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many there are of each."""
        return {
            "judged": len(self.judged),
            "without_results": len(self.without_results),
            "without_relevant": len(self.without_relevant),
            "without_judgements": len(self.without_judgements),
        }

    def warnings(self) -> list[str]:
        """A sentence for every kind there is."""
        notes = []
        if self.without_results:
            notes.append(f"{_some(self.without_results)} judged but without results: counted as 0")
        if self.without_relevant:
            notes.append(
                f"{_some(self.without_relevant)} judged but without relevant documents: counted as 0"
            )
        if self.without_judgements:
            notes.append(f"{_some(self.without_judgements)} in the run but not judged: left out")
        return notes


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured.

    Attributes:
        per_query: by measure as it was asked for, then by query, in the order of their ids.
        coverage: which queries the means are over.
        warnings: what else to know.
    """

    per_query: Mapping[str, Mapping[str, float]]
    coverage: QueryCoverage
    warnings: tuple[str, ...] = field(default=())

    @property
    def means(self) -> dict[str, float]:
        """The mean of every measure."""
        return {name: sum(values.values()) / len(values) for name, values in self.per_query.items()}


def measure(
    ranked: Mapping[str, Sequence[str]],
    qrels: Qrels,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    changed: Mapping[str, Sequence[str]] | None = None,
    own: Mapping[str, OwnMeasure] | None = None,
) -> Measurement:
    """Measure rankings against judgements.

    Args:
        ranked: for every query its documents, best first: `limrank_evals.runs.arranged`, without
            excluded documents.
        qrels: grades by query and document; above 0 is relevant.
        measures: names as ir_measures writes them, and `p-MRR` for judgements of `-og` and
            `-changed` queries.
        changed: the documents p-MRR looks at, by query, where a benchmark names them; by default they are
            read off the judgements.
        own: a benchmark's own measures by their names in `measures`.

    Raises:
        InputError: an unknown measure, no judgements, a document twice for a query, or a run none of
            whose queries are judged.
    """
    own = own or {}
    parsed = {name: None if name == P_MRR or name in own else parse_measure(name) for name in measures}
    if not parsed:
        raise InputError("name at least one measure, for example nDCG@10")
    check_ranked(ranked)
    covered = coverage(ranked, qrels)
    values = _values([m for m in parsed.values() if m is not None], ranked, qrels, covered.judged)
    per_query: dict[str, dict[str, float]] = {}
    warnings = _strange_ids(ranked, qrels)
    for name, parsed_measure in parsed.items():
        if parsed_measure is not None:
            per_query[name] = values[parsed_measure]
            continue
        if name in own:
            per_query[name] = {query: own[name](query, ranked.get(query, ())) for query in covered.judged}
            continue
        followed = p_mrr(ranked, changed_documents(qrels) if changed is None else changed)
        if not followed.per_query:
            raise InputError("p-MRR has no query that was answered on both sides and has changed documents")
        if followed.left_out:
            warnings.append(f"{_some(followed.left_out)} not answered on both sides: p-MRR leaves them out")
        per_query[name] = dict(followed.per_query)
    return Measurement(per_query, covered, tuple(warnings))


def coverage(ranked: Mapping[str, Sequence[str]], qrels: Qrels) -> QueryCoverage:
    """Which queries are judged, answered, both or neither.

    Raises:
        InputError: no query is judged, or none of the run's is.
    """
    judged = tuple(sorted(qrels))
    if not judged:
        raise InputError("there are no judgements")
    if not any(query in qrels for query in ranked):
        example = f"its queries are like {next(iter(ranked))!r}" if ranked else "it is empty"
        raise InputError(
            f"no query of the run is judged: {example}, those of the judgements are like {judged[0]!r}"
        )
    return QueryCoverage(
        judged,
        tuple(query for query in judged if not ranked.get(query)),
        tuple(query for query in judged if not relevant(qrels, query)),
        tuple(sorted(query for query in ranked if query not in qrels)),
    )


def _strange_ids(ranked: Mapping[str, Sequence[str]], qrels: Qrels) -> list[str]:
    """A warning where no document of the run has an id that the judgements know: every measure is 0 then."""
    judged = {document for grades in qrels.values() for document in grades}
    documents = [document for listed in ranked.values() for document in listed]
    if not documents or any(document in judged for document in documents):
        return []
    return [
        f"no document of the run is judged: its ids are like {shortened(documents[0])!r}, those of the "
        f"judgements are like {shortened(min(judged))!r}"
    ]


def parse_measure(name: str) -> Any:
    """The measure of ir_measures with this name.

    Raises:
        InputError: there is none, its cut is not above 0, or it is a count rather than a mean.
        MissingExtra: ir_measures is not installed.
    """
    ir_measures = require("ir_measures", "evals", "measuring rankings")
    try:
        parsed = ir_measures.parse_measure(name)
        cutoff = parsed.params.get("cutoff")
        averages = type(parsed.aggregator()).__name__ == "MeanAgg"
    except (NameError, ValueError, SyntaxError, TypeError, AttributeError) as error:
        known = "nDCG@10, MAP@1000, R@20, RR, P@5, Success@1 and p-MRR"
        raise InputError(f"there is no measure {name!r} ({error}); known are for example {known}") from error
    if cutoff is not None and cutoff < 1:
        raise InputError(f"the cut of measure {name!r} must be > 0")
    if not averages:
        raise InputError(f"{name!r} is a count, not a mean over queries")
    return parsed


def _values(
    measures: Sequence[Any], ranked: Mapping[str, Sequence[str]], qrels: Qrels, judged: Sequence[str]
) -> dict[Any, dict[str, float]]:
    if not measures:
        return {}
    ir_measures = require("ir_measures", "evals", "measuring rankings")
    # Some providers write TREC files and want queries that are numbers, and pytrec_eval crashes the process
    # on ids that are no UTF-8: names of our own hurt nobody.
    names = {query: str(number) for number, query in enumerate(judged)}
    ids: dict[str, str] = {}
    run = {
        names[query]: {
            ids.setdefault(document, str(len(ids))): float(len(values) - place)
            for place, document in enumerate(values)
        }
        for query, values in ranked.items()
        if query in names and values
    }
    grades = {
        names[query]: {ids.setdefault(document, str(len(ids))): g for document, g in qrels[query].items()}
        for query in judged
    }
    distinct = list(dict.fromkeys(measures))
    try:
        rows = list(ir_measures.iter_calc(distinct, grades, run))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"ir_measures cannot compute {', '.join(map(str, distinct))}: {error}") from error
    values: dict[Any, dict[str, float]] = {m: dict.fromkeys(judged, 0.0) for m in distinct}
    for row in rows:
        values[row.measure][judged[int(row.query_id)]] = float(row.value)
    return values


def _some(queries: Sequence[str]) -> str:
    """How many, and the first few by name: "3 queries (a, b, c)"."""
    shown = ", ".join(queries[:5]) + (", …" if len(queries) > 5 else "")
    return f"{len(queries)} {'query' if len(queries) == 1 else 'queries'} ({shown})"
