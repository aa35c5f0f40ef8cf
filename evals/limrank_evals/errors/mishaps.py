"""Documents that were not judged, not read whole, or that state something untrue on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limrank_evals.comparison import ends
from limrank_evals.errors.detailed_run import DetailedRun
from limrank_evals.errors.kinds import FALSE_CLAIM
from limrank_evals.judgements import Qrels
from limrank_evals.stats import wilson
from limrank_plugins.unread import Unread


@dataclass(frozen=True, slots=True)
class Mishaps:
    """What happened to documents on the way; all judged queries' documents are looked at.

    Attributes:
        failures: every document that could not be judged: query, document, reason, place (None where the
            list does not hold it any more) and whether it is relevant; relevant ones first.
        cuts: every document that was not read whole, likewise, with the tokens that were cut.
        repairs: malformed answers that were repaired, in the whole run.
        unread: how many documents and queries were not read whole, of how many.
    """

    failures: tuple[Mapping[str, Any], ...]
    cuts: tuple[Mapping[str, Any], ...]
    repairs: int
    unread: Unread = field(default_factory=Unread)

    def as_json(self, top: int, most: int = 10) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        reasons = Counter(str(mishap["reason"]) for mishap in self.failures)
        lost = [mishap for mishap in self.cuts if mishap["relevant"] and (mishap["rank"] or top + 1) > top]
        return {
            "failures": {
                "documents": len(self.failures),
                "queries": len({mishap["query"] for mishap in self.failures}),
                "relevant": sum(mishap["relevant"] for mishap in self.failures),
                "reasons": [
                    {"reason": reason, "documents": count} for reason, count in reasons.most_common(most)
                ],
                "cases": [dict(mishap) for mishap in self.failures[: max(0, most)]],
            },
            "cut": {
                "documents": len(self.cuts),
                "queries": len({mishap["query"] for mishap in self.cuts}),
                "tokens": sum(mishap["cut_tokens"] for mishap in self.cuts),
                "relevant": sum(mishap["relevant"] for mishap in self.cuts),
                "relevant_below_top": len(lost),
                "cases": [dict(mishap) for mishap in lost[: max(0, most)]],
            },
            "repairs": self.repairs,
            **self.unread.as_json(),
            "not_read": self.unread.sentences(),
        }


def mishaps_of(listing: DetailedRun, qrels: Qrels) -> Mishaps | None:
    """What is known of failures and cuts; None of a run that does not say."""
    if not listing.detailed:
        return None
    failures: list[dict[str, Any]] = []
    cuts: list[dict[str, Any]] = []
    for query in sorted(qrels):
        grades = qrels[query]
        for hit in listing.lists.get(query, ()):
            place = {
                "query": query,
                "document": hit.document,
                "rank": hit.rank,
                "relevant": grades.get(hit.document, 0) > 0,
            }
            if hit.failure is not None:
                failures.append({**place, "reason": hit.failure})
            if hit.cut_tokens:
                cuts.append({**place, "cut_tokens": hit.cut_tokens})
        for document, reason in listing.dropped.get(query, {}).items():
            place = {"query": query, "document": document, "rank": None}
            failures.append({**place, "relevant": grades.get(document, 0) > 0, "reason": reason})
    failures.sort(key=lambda hit: not hit["relevant"])
    documents = sum(len(listing.lists.get(query, ())) for query in qrels)
    unread = Unread(len(listing.cut_queries & qrels.keys()), len(cuts), len(qrels), documents)
    return Mishaps(tuple(failures), tuple(cuts), listing.repairs, unread)


@dataclass(frozen=True, slots=True)
class FalseClaims:
    """Passages of kind `negative:false-claim` in the run.

    Attributes:
        queries: those with such a passage in their list.
        ranked: such passages in the lists.
        at_top: those among the first `top`.
        cases: of every query with one among the first `top`, the highest: query, document, rank, score, and
            the place of the query's best relevant document (None where the list has none); highest first.
    """

    queries: int
    ranked: int
    at_top: int
    cases: tuple[Mapping[str, Any], ...]

    def as_json(self, level: float, most: int = 10) -> dict[str, Any]:
        """For machines; see docs/errors.md."""
        counts = {
            "at_top": len(self.cases),
            "first": sum(case["rank"] == 1 for case in self.cases),
            "above_relevant": sum(
                case["relevant_rank"] is None or case["rank"] < case["relevant_rank"] for case in self.cases
            ),
        }
        shares = {}
        for name, count in counts.items():
            shares[name] = {"queries": count, "interval": ends(wilson(count, self.queries, level=level))}
        return {
            "queries": self.queries,
            "ranked": self.ranked,
            "ranked_at_top": self.at_top,
            "of_queries": shares,
            "cases": [dict(case) for case in self.cases[: max(0, most)]],
        }


def false_claims_of(
    listing: DetailedRun, kinds: Mapping[str, Mapping[str, str]], qrels: Qrels, top: int
) -> FalseClaims:
    """Where passages stand that state something untrue on purpose; a failed document is not counted."""
    queries = ranked = at_top = 0
    cases: list[dict[str, Any]] = []
    for query in sorted(kinds):
        hits = listing.lists.get(query, ())
        claims = [
            hit for hit in hits if kinds[query].get(hit.document) == FALSE_CLAIM and hit.failure is None
        ]
        queries += bool(claims)
        ranked += len(claims)
        at_top += sum(hit.rank <= top for hit in claims)
        if claims and claims[0].rank <= top:
            grades = qrels.get(query, {})
            best = next((hit.rank for hit in hits if grades.get(hit.document, 0) > 0), None)
            cases.append(
                {
                    "query": query,
                    "document": claims[0].document,
                    "rank": claims[0].rank,
                    "score": claims[0].score,
                    "relevant_rank": best,
                }
            )
    cases.sort(key=lambda case: (case["rank"], case["query"]))
    return FalseClaims(queries, ranked, at_top, tuple(cases))
