"""A ranking as the answer to a request."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import replace

from limrank_plugins.data import Hit, Ranking, ScoreKind
from limrank_plugins.failure_log import remarks
from limrank_plugins.server.refusals import Refusal
from limrank_plugins.server.schemas import (
    ApiVersion,
    BilledUnits,
    FailedDocument,
    Meta,
    RequestUsage,
    RerankAnswer,
    RerankRequest,
    Result,
    ReturnedDocument,
    TokenCounts,
)
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of, shortened

_IN_A_SEARCH_UNIT = 100


def answer_to(request: RerankRequest, ranking: Ranking, name: str) -> RerankAnswer:
    """What is answered: judged documents with scores, those that failed apart from them.

    A client reads `relevance_score` as a number, most of them strictly. A document that failed has none, so
    it is no result: a client that knows nothing of `failed` sees it left out, as below `top_n`, and never
    with a score that nobody gave.

    Args:
        request: what was asked.
        ranking: of all of its documents.
        name: the reranker's.

    Raises:
        Refusal: 502 where no document could be judged.
    """
    judged, failed = judged_and_failed(ranking)
    scores, kind = scores_of(judged, ranking)
    shown = judged[: request.top_n]
    returned = bool(request.return_documents)
    usage = ranking.usage
    return RerankAnswer(
        id=secrets.token_hex(16),
        model=name,
        results=[
            result_of(hit, score, kind, returned=returned) for hit, score in zip(shown, scores, strict=False)
        ],
        failed=[failed_document(hit, returned=returned) for hit in failed],
        usage=RequestUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.generated_tokens,
            total_tokens=usage.prompt_tokens + usage.generated_tokens,
        ),
        meta=Meta(
            api_version=ApiVersion(version="2"),
            billed_units=BilledUnits(search_units=math.ceil(len(ranking) / _IN_A_SEARCH_UNIT)),
            tokens=TokenCounts(input_tokens=usage.prompt_tokens, output_tokens=usage.generated_tokens),
            warnings=warnings_of(ranking, failed) or None,
        ),
    )


def judged_and_failed(ranking: Ranking) -> tuple[list[Hit], list[Hit]]:
    """The judged documents, best first, and those that failed, in their first-stage order.

    Raises:
        Refusal: 502 where none could be judged.
    """
    judged = [hit for hit in ranking if hit.failure is None]
    failed = sorted((hit for hit in ranking if hit.failure is not None), key=lambda hit: hit.index)
    if failed and not judged:
        which = "the document" if len(failed) == 1 else f"none of the {len(failed):,} documents"
        verb = "could not" if len(failed) == 1 else "could"
        raise Refusal(502, f"{which} {verb} be judged; the first one, {failed[0].index}: {failed[0].failure}")
    return judged, failed


def scores_of(judged: Sequence[Hit], ranking: Ranking) -> tuple[list[float], ScoreKind]:
    """The judged documents' scores and what they are.

    Scores that mean nothing beside those of another query are replaced by ones derived from the rank: 1 for
    the best of n documents, 1/n for the last.
    """
    own = [hit.score for hit in judged if hit.score is not None]
    if ranking.comparable and len(own) == len(judged):
        return own, ranking.score_kind
    return [(len(judged) - place) / len(judged) for place in range(len(judged))], "rank"


def result_of(hit: Hit, score: float, kind: ScoreKind, *, returned: bool) -> Result:
    """One judged document; `returned`: with its text."""
    return Result(
        index=hit.index,
        relevance_score=score,
        score_kind=kind,
        document=_document(hit) if returned else None,
        reasoning=hit.explanation,
    )


def failed_document(hit: Hit, *, returned: bool) -> FailedDocument:
    """One that could not be judged; `returned`: with its text."""
    document = _document(hit) if returned else None
    return FailedDocument(index=hit.index, reason=reason_of(hit), document=document)


def reason_of(hit: Hit) -> str:
    """Why a document could not be judged."""
    return hit.failure or "no reason given"


def _document(hit: Hit) -> ReturnedDocument:
    return ReturnedDocument(text=hit.document.text)


def warnings_of(ranking: Ranking, failed: Sequence[Hit]) -> list[str]:
    """What was cut or could not be judged, in sentences."""
    warnings = []
    if failed:
        warnings.append(
            f"{len(failed):,} of {number_of(len(ranking), 'document')} could not be judged and "
            f"{'is' if len(failed) == 1 else 'are'} no result; the first one, {failed[0].index}: "
            f"{shortened(failed[0].failure or '', 300)}"
        )
    # What was not read of the query is among the remarks.
    documents = replace(Unread.in_ranking(ranking), queries=0)
    return [*warnings, *documents.sentences(), *remarks([ranking])]
