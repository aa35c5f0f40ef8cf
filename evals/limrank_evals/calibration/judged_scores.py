"""Scores of documents that people judged, and their division into queries to fit on and queries held out.

What counts: every document of a judged query that has a score. A document without a judgement counts as
irrelevant, as in every measure here, or is left out, where a collection's judgements say little of what it
lacks. Documents that could not be judged by the model, excluded ones, and queries that nobody judged are
left out. All of them are counted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from limrank_evals.errors.detailed_run import DetailedRun
from limrank_evals.judgements import Qrels
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.seeding import seeded
from limrank_plugins.wording import number_of

Unjudged = Literal["irrelevant", "left-out"]
LEAST_QUERIES = 5
"""Of each part: fewer say nothing of the queries to come."""


class JudgedScore(NamedTuple):
    """One document of a query: its score, and whether people found it relevant."""

    query: str
    score: float
    relevant: bool


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """The scores of a run whose documents were judged, and what was left out.

    Attributes:
        scores: in the run's order.
        unjudged: documents without a judgement.
        unjudged_as: what they count as.
        failed: documents that the model could not judge; left out.
        queries_left_out: queries without judgements, or without a score.
        why: the first one that failed could not be judged.
    """

    scores: tuple[JudgedScore, ...]
    unjudged: int
    unjudged_as: Unjudged
    failed: int
    queries_left_out: int
    why: str = ""

    @property
    def queries(self) -> list[str]:
        """The queries that have a score."""
        return sorted({score.query for score in self.scores})

    def notes(self) -> list[str]:
        """A sentence for everything that was left out or taken for irrelevant."""
        as_what = "counted as irrelevant" if self.unjudged_as == "irrelevant" else "left out"
        first = f" (the first: {self.why})" if self.why else ""
        omissions = [
            (self.unjudged, "document", f"without a judgement: {as_what}"),
            (self.failed, "document", f"that could not be judged by the model: left out{first}"),
            (self.queries_left_out, "query", "without judgements or scores: left out"),
        ]
        return [f"{number_of(count, what)} {why}" for count, what, why in omissions if count]


class Parts(NamedTuple):
    """The scores that are fitted, and those of other queries that are measured."""

    fitted: tuple[JudgedScore, ...]
    held_out: tuple[JudgedScore, ...]


def judged_scores(
    run: DetailedRun,
    qrels: Qrels,
    *,
    excluded: Mapping[str, Collection[str]] | None = None,
    unjudged: Unjudged = "irrelevant",
    grade: int = 1,
) -> JudgedScores:
    """The scores of a run whose documents were judged.

    Args:
        run: with the model's scores.
        qrels: grades by query and document.
        excluded: documents that must not count, by query.
        unjudged: what a document without a judgement counts as.
        grade: the least one that is relevant.

    Raises:
        InputError: a run without scores, or a value that cannot be used.
    """
    if unjudged not in get_args(Unjudged):
        raise InputError(f"unjudged must be one of {', '.join(get_args(Unjudged))}, but is {unjudged!r}")
    whole_number("the least relevant grade", grade, least=1)
    run = run.only(excluded or {}, None)
    missing = [
        why
        for query, hits in run.lists.items()
        if query in qrels
        for why in (
            *(hit.failure for hit in hits if hit.score is None),
            *run.dropped.get(query, {}).values(),
        )
    ]
    first = next(filter(None, missing), "")
    if not run.scored and first:
        raise InputError(f"no document could be judged by the model; the first: {first}")
    if not run.scored:
        raise InputError(
            "the run has no scores of the model but places alone: give the .jsonl file that "
            "`limrank rerank -o` writes, of a recipe that scores"
        )
    scores: list[JudgedScore] = []
    without = 0
    for query, hits in run.lists.items():
        for hit in hits if query in qrels else ():
            known = qrels[query].get(hit.document)
            if hit.score is None:
                continue
            without += known is None
            if known is not None or unjudged == "irrelevant":
                scores.append(JudgedScore(query, hit.score, known is not None and known >= grade))
    left_out = len(run.lists) - len({score.query for score in scores})
    return JudgedScores(tuple(scores), without, unjudged, len(missing), left_out, first)


def divide(judged: JudgedScores, held_out: float = 0.3, seed: int = 0) -> Parts:
    """Hold out a share of the queries with all their documents: never a document of a query that is fitted.

    Args:
        judged: see there.
        held_out: their share, in (0, 1).
        seed: of the choice, which depends on it and the queries' ids alone.

    Raises:
        InputError: a part has too few queries, or documents of one kind alone.
    """
    finite_number("held_out", held_out, above=0, most=0.9)
    queries = judged.queries
    count = round(held_out * len(queries))
    if min(count, len(queries) - count) < LEAST_QUERIES:
        raise InputError(
            f"{number_of(len(queries), 'judged query')} with scores are too few to fit on some and hold out "
            f"{count} of them: each part needs {LEAST_QUERIES}"
        )
    chosen = set(seeded(json.dumps(["calibration", seed])).sample(queries, count))
    parts = Parts(
        tuple(score for score in judged.scores if score.query not in chosen),
        tuple(score for score in judged.scores if score.query in chosen),
    )
    for name, part in (("to fit on", parts.fitted), ("held out", parts.held_out)):
        relevant = sum(score.relevant for score in part)
        if relevant in (0, len(part)):
            kind = "relevant" if relevant == 0 else "irrelevant"
            raise InputError(
                f"no document of the {number_of(len({s.query for s in part}), 'query')} {name} is {kind}: a "
                f"calibration needs both kinds in both parts. Give more queries, or more candidates of each"
            )
    return parts
