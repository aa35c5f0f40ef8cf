"""Two rerankers rank the same candidates into a folder, which goes on after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from limrank_evals.ab.ab_report import SCHEMA, AbReport, write_ab
from limrank_evals.guarded_folders import STORE, evaluation_files, keep_settings, working_in
from limrank_evals.runs import Ranked
from limrank_plugins.backends.counting import UsageSum
from limrank_plugins.begun_anew import working_on
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.ranking_job import rank_all
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.wording import number_of

A, B = "A", "B"
_RUNS = {A: "a.jsonl", B: "b.jsonl"}
_OUTPUTS = (*_RUNS.values(), "report.json", "table.md")


class AbOutcome(NamedTuple):
    """What came of it.

    Attributes:
        report: the comparison.
        place: where its files are.
        failures: documents that could not be judged.
        spent: by side, what this call took.
    """

    report: AbReport
    place: Path
    failures: int
    spent: Mapping[str, Usage]


def ab_into(
    folder: Path,
    queries: Sequence[Query],
    candidates: Sequence[Sequence[Document]],
    sides: Mapping[str, Reranker],
    settings: Mapping[str, Any],
    make_report: Callable[[Mapping[str, Ranked], list[str]], AbReport],
    *,
    batch: int = 1,
    fresh: bool = False,
    say: Callable[[str], object] = lambda sentence: None,
    progress: Callable[[str, int, int], None] = lambda stage, finished, total: None,
) -> AbOutcome:
    """Rank with both, and write runs and report into the folder.

    Args:
        folder: where everything goes; one with another comparison is refused.
        queries: what is searched for.
        candidates: the documents of each query, in first-stage order.
        sides: the rerankers by `A` and `B`.
        settings: what the rankings depend on beside those and the queries, as JSON.
        make_report: of both sides' rankings, and of what is to be noted.
        batch: queries ranked in lockstep and committed together.
        fresh: begin anew; see `begun_anew`.
        say: gets sentences for people.
        progress: told of the stage, of the queries that are done, and of all.

    Raises:
        InputError: both are the same reranker, or the folder is another comparison's.
        BackendError: one of them judged nothing.
    """
    if sides[A].identity == sides[B].identity:
        raise InputError("A and B are the same reranker: give --b or --b-option another value")
    same = {**{name: side.identity for name, side in sides.items()}, "queries": _digest(queries), **settings}
    files = partial(evaluation_files, schema=SCHEMA, outputs=_OUTPUTS)
    with working_in(folder), working_on(folder, same, files, fresh=fresh, say=say) as work:
        keep_settings(work.place, SCHEMA, same)
        records: dict[str, list[dict[str, Any]]] = {}
        spent = {name: UsageSum() for name in sides}
        with Store(work.place / STORE) as store:
            for name, side in sides.items():
                side.store = store
                records[name], _ = rank_all(
                    side,
                    queries,
                    candidates,
                    store,
                    batch=batch,
                    progress=partial(progress, f"reranking, {name}"),
                    spent=spent[name],
                )
        failed = {name: sum(len(record["failures"]) for record in each) for name, each in records.items()}
        notes = [
            f"{number_of(count, 'document')} could not be judged by {name}, and "
            f"{'keeps its place' if count == 1 else 'keep their places'}"
            for name, count in failed.items()
            if count
        ]
        report = make_report({name: _ranked(each) for name, each in records.items()}, notes)
        write_ab(work.place, report, {_RUNS[name]: each for name, each in records.items()})
        work.end(is_finished=not any(failed.values()))
        usage = {name: each.usage for name, each in spent.items()}
        return AbOutcome(report, work.place, sum(failed.values()), usage)


def _ranked(records: Sequence[Mapping[str, Any]]) -> Ranked:
    return {record["query_id"]: [hit["id"] for hit in record["hits"]] for record in records}


def _digest(queries: Sequence[Query]) -> str:
    texts = [(query.id, query.text, query.instruction) for query in queries]
    return hashlib.sha256(json.dumps(texts).encode("ascii")).hexdigest()[:20]
