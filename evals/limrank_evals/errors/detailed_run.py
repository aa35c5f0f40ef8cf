"""A run with all that is known of its documents: places, and the model's scores, failures and reasons.

`limrank rerank -o x.jsonl` writes the model's own scores beside the order. A TREC file has a score for
every document, which in runs of this package is the place counted backwards; that is noticed, and no
score is made of it: nothing is said of ties and gaps that were never measured.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from limrank_evals.runs import Ranked, RunLines, TieRule, arranged, read_run_file
from limrank_plugins.checks import is_finite, whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows
from limrank_plugins.io import RunState
from limrank_plugins.wording import shortened


@dataclass(frozen=True, slots=True)
class RunHit:
    """One document of a list.

    Attributes:
        document: its id.
        rank: from 1.
        score: the model's; None where it has none, or failed.
        failure: why it was not judged, or None.
        cut_tokens: how many of its tokens were not read.
        explanation: the model's reasoning, where there is one.
    """

    document: str
    rank: int
    score: float | None = None
    failure: str | None = None
    cut_tokens: int = 0
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class DetailedRun:
    """A run in its order.

    Attributes:
        lists: every query's documents, best first.
        dropped: failed documents that the lists no longer hold, with their reasons, by query.
        score_kind: what a score is, for example `probability`; "" where that is not known.
        detailed: failures and cut documents are known; of a TREC file they are not.
        repairs: malformed answers that were repaired.
        cut_queries: queries of which a part was not read.
        state: what the file that it is from says of the run.
    """

    lists: Mapping[str, tuple[RunHit, ...]]
    dropped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    score_kind: str = ""
    detailed: bool = False
    repairs: int = 0
    cut_queries: frozenset[str] = frozenset()
    state: RunState = field(default_factory=RunState)

    @property
    def ranked(self) -> Ranked:
        """The documents alone."""
        return {query: [hit.document for hit in hits] for query, hits in self.lists.items()}

    @property
    def scored(self) -> bool:
        """Whether any document has a score of the model's."""
        return any(hit.score is not None for hits in self.lists.values() for hit in hits)

    def only(self, excluded: Mapping[str, Collection[str]], depth: int | None) -> DetailedRun:
        """Without excluded documents, then cut; ranks are counted anew.

        Raises:
            InputError: the depth is not > 0.
        """
        if depth is not None:
            whole_number("depth", depth, least=1)
        lists = {}
        for query, hits in self.lists.items():
            kept = [hit for hit in hits if hit.document not in excluded.get(query, ())][:depth]
            lists[query] = tuple(replace(hit, rank=rank) for rank, hit in enumerate(kept, start=1))
        dropped = {
            query: {
                document: why for document, why in failed.items() if document not in excluded.get(query, ())
            }
            for query, failed in self.dropped.items()
        }
        return replace(self, lists=lists, dropped=dropped)


def read_detailed_run(
    path: str | os.PathLike[str], ties: TieRule = "trec_eval", first_stage: Ranked | None = None
) -> DetailedRun:
    """A run from any file that `limrank_evals.runs.read_run_file` reads.

    Args:
        path: of a `.jsonl` file the order is its own.
        ties: what decides between equal scores of other files, see `limrank_evals.runs`.
        first_stage: the first stage's order, for `ties="first-stage"`.

    Raises:
        InputError: see `read_run_file` and `arranged`; or a hit whose fields are not as they are written.
    """
    rows, state = read_run_file(path)
    order = arranged(rows, ties, first_stage)
    if os.fspath(path).removesuffix(".gz").endswith(".jsonl"):
        return detailed_run_of((record for _, record in json_rows(path)), str(path))
    return replace(detailed_run_of_rows(rows, order), state=state)


def detailed_run_of_rows(rows: RunLines, order: Ranked) -> DetailedRun:
    """A run without anything but scores, in this order; scores that only count places are none."""
    counted = all(
        sorted(row.score for row in of_query) == [float(i) for i in range(1, len(of_query) + 1)]
        for of_query in rows.values()
    )
    lists = {}
    for query, of_query in rows.items():
        scores = {row.document_id: None if counted else row.score for row in of_query}
        lists[query] = tuple(RunHit(d, rank, scores[d]) for rank, d in enumerate(order[query], start=1))
    return DetailedRun(lists)


def detailed_run_of(records: Iterable[Mapping[str, Any]], where: str = "the records") -> DetailedRun:
    """A run from what `limrank_plugins.io.ranking_record` writes, in its own order.

    Raises:
        InputError: a field of a hit is not as it is written; the message begins with `where`.
    """
    lists: dict[str, tuple[RunHit, ...]] = {}
    dropped: dict[str, dict[str, str]] = {}
    kinds: set[str] = set()
    repairs, cut_queries, state = 0, set[str](), RunState()
    for record in records:
        query = record["query_id"]
        lists[query] = tuple(_listed(hit, rank, where) for rank, hit in enumerate(record["hits"], start=1))
        here = {listed.document for listed in lists[query]}
        failures = _failures(record.get("failures", []), where)
        state.failures += len(failures)
        dropped[query] = {document: why for document, why in failures.items() if document not in here}
        kinds.add(record.get("score_kind", ""))
        repairs += record.get("repairs", 0)
        if record.get("query_cut_tokens"):
            cut_queries.add(query)
    return DetailedRun(
        lists,
        dropped,
        kinds.pop() if len(kinds) == 1 else "",
        detailed=True,
        repairs=repairs,
        cut_queries=frozenset(cut_queries),
        state=state,
    )


def _listed(hit: Mapping[str, Any], rank: int, where: str) -> RunHit:
    score, cut = hit.get("score"), hit.get("cut_tokens", 0)
    number = isinstance(score, int | float) and not isinstance(score, bool) and is_finite(score)
    if score is not None and not number:
        raise InputError(
            f"{where}: the score of document {hit['id']!r} must be a finite number or null, but is "
            f"{shortened(repr(score))}"
        )
    if not isinstance(cut, int) or cut < 0:
        raise InputError(
            f"{where}: cut_tokens of document {hit['id']!r} must be a count, but is {shortened(repr(cut))}"
        )
    for name in ("failure", "explanation"):
        if not isinstance(hit.get(name), str | None):
            raise InputError(f"{where}: {name} of document {hit['id']!r} must be text or null")
    return RunHit(
        hit["id"],
        rank,
        None if score is None else float(score),
        hit.get("failure"),
        int(cut),
        hit.get("explanation"),
    )


def _failures(written: object, where: str) -> dict[str, str]:
    rows = written if isinstance(written, list) else [None]
    reasons = {}
    for row in rows:
        if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("id", "reason")):
            raise InputError(
                f"{where}: failures must be a list of objects with id and reason, but got "
                f"{shortened(repr(row))}"
            )
        reasons[row["id"]] = row["reason"]
    return reasons
