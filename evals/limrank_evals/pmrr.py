"""p-MRR: does a ranking follow a changed instruction? FollowIR (arXiv 2403.15246), section 5.

Every query is asked twice, `{id}-og` with the first instruction and `{id}-changed` with one under which
some relevant documents are so no more. For each of those, with ranks R_og and R_new from 1 (one more than
the list is long where it is not in the list):

    R_og >= R_new (moved up, wrong):   R_new / R_og - 1
    R_og <  R_new (moved down, right): 1 - R_og / R_new

averaged over a query's documents, then over queries: in [-1, 1], 0 for a ranking that does not care, and
published times 100. Two things to know: documents outside both lists count as unmoved, so p-MRR shrinks
with the depth of the lists (never compare two depths); and a query that a run lacks on either side cannot
count (mteb leaves it out with a warning; here it is left out and named).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limrank_evals.judgements import Qrels, relevant
from limrank_evals.runs import check_ranked
from limrank_plugins.errors import InputError

NAME = "p-MRR"
ORIGINAL, CHANGED = "-og", "-changed"


@dataclass(frozen=True, slots=True)
class InstructionFollowing:
    """p-MRR of a run.

    Attributes:
        mean: over the queries in `per_query`, in [-1, 1]; None where there are none.
        per_query: by query, without `-og` and `-changed`.
        left_out: queries with changed documents that the run does not answer on both sides.
    """

    mean: float | None
    per_query: Mapping[str, float]
    left_out: tuple[str, ...] = ()


def p_mrr(ranked: Mapping[str, Sequence[str]], changed: Mapping[str, Sequence[str]]) -> InstructionFollowing:
    """p-MRR of rankings of `{id}-og` and `{id}-changed`.

    Args:
        ranked: for both sides of every query its documents, best first.
        changed: for every query (without `-og` and `-changed`) the documents that are relevant under
            the first instruction and not under the changed one; queries with none do not count.

    Raises:
        InputError: a document twice in a list.
    """
    check_ranked(ranked)
    per_query: dict[str, float] = {}
    left_out: list[str] = []
    for query in sorted(query for query, documents in changed.items() if documents):
        before, after = ranked.get(query + ORIGINAL), ranked.get(query + CHANGED)
        if before is None or after is None:
            left_out.append(query)
            continue
        ranks_before = {document: rank for rank, document in enumerate(before, start=1)}
        ranks_after = {document: rank for rank, document in enumerate(after, start=1)}
        moved = [
            moved_by(ranks_before.get(d, len(before) + 1), ranks_after.get(d, len(after) + 1))
            for d in changed[query]
        ]
        per_query[query] = sum(moved) / len(moved)
    mean = sum(per_query.values()) / len(per_query) if per_query else None
    return InstructionFollowing(mean, per_query, tuple(left_out))


def moved_by(before: int, after: int) -> float:
    """What one document adds: its ranks, from 1, under the first and the changed instruction."""
    return after / before - 1 if before >= after else 1 - before / after


def changed_documents(qrels: Qrels) -> dict[str, list[str]]:
    """The documents relevant for `{id}-og` and not for `{id}-changed`, by id.

    Raises:
        InputError: no judgement is of such a pair, or one side of a pair is missing.
    """
    originals = {query.removesuffix(ORIGINAL) for query in qrels if query.endswith(ORIGINAL)}
    changes = {query.removesuffix(CHANGED) for query in qrels if query.endswith(CHANGED)}
    if not originals or originals != changes:
        lonely = sorted(originals ^ changes)
        what = f"but {lonely[0]!r} has one only" if lonely else "but there are none"
        raise InputError(f"p-MRR needs judgements of '<id>{ORIGINAL}' and '<id>{CHANGED}', {what}")
    documents = {}
    for query in sorted(originals):
        after = set(relevant(qrels, query + CHANGED))
        documents[query] = [d for d in relevant(qrels, query + ORIGINAL) if d not in after]
    return documents
