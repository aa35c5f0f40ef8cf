"""Negatives that need no writing: passages of other queries, as a first stage would find them.

Written negatives are all about their query's topic. A model that has seen no others has never been shown
what most candidates of a first stage are: about something else, with some of the query's words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document
from limrank_plugins.retrievers import build_retriever
from limrank_plugins.seeding import seeded
from limrank_synth.records import FOREIGN, LabelledPassage

NEAREST = 20


def foreign_negatives(
    rows: Sequence[LabelledPassage], count: int, *, seed: int = 0, nearest: int = NEAREST
) -> Iterator[LabelledPassage]:
    """For each query, passages that were written for others, as rows that are not relevant.

    Nobody judged them: with few topics a passage may help another query, too. Their traces are empty, so
    they serve plans without reasoning.

    Args:
        rows: of all queries; those of a query have one text.
        count: for each query; fewer where fewer are found.
        seed: of the draw; a query's draw depends on it and the query's id alone.
        nearest: they are drawn from so many that BM25 ranks best for the query.

    Raises:
        InputError: count or nearest is below 1.
    """
    whole_number("foreign", count, least=1)
    whole_number("nearest", nearest, least=1)
    first_rows: dict[str, LabelledPassage] = {}
    rows_of_passage: dict[str, LabelledPassage] = {}
    own: dict[str, set[str]] = {}
    for row in rows:
        first_rows.setdefault(row.query_id, row)
        rows_of_passage.setdefault(row.passage, row)
        own.setdefault(row.query, set()).add(row.passage)
    texts = sorted(rows_of_passage)
    bm25 = build_retriever("bm25s", [Document(text, id=str(number)) for number, text in enumerate(texts)])
    for query_id, first in first_rows.items():
        taken = own[first.query]
        ranked = (hit.text for hit in bm25.search(first.query, nearest + len(taken)))
        foreign = [text for text in ranked if text not in taken][:nearest]
        draw = seeded(json.dumps([seed, query_id]))
        for text in draw.sample(foreign, min(count, len(foreign))):
            yield _foreign(first, rows_of_passage[text])


def swapped_negatives(
    rows: Sequence[LabelledPassage], count: int, *, seed: int = 0, nearest: int = NEAREST
) -> Iterator[LabelledPassage]:
    """The rows that are relevant, and behind each its passage with other queries, as not relevant.

    What is written to mislead is left out: such a passage is never relevant, so that it can be known without
    a query. Here every passage is relevant once and `count` times not, and a model that does not read the
    query learns nothing. Nobody judged the new pairs, and they have no traces; see `foreign_negatives`.

    Args:
        rows: of all queries; those of a query have one text.
        count: other queries for each passage; fewer where fewer are found.
        seed: of the draw; a row's draw depends on it and the row's id alone.
        nearest: they are drawn from so many that BM25 ranks best for the passage.

    Raises:
        InputError: count or nearest is below 1.
    """
    whole_number("swapped", count, least=1)
    whole_number("nearest", nearest, least=1)
    first_rows: dict[str, LabelledPassage] = {}
    taken: dict[str, set[str]] = {}
    for row in rows:
        first_rows.setdefault(row.query, row)
        taken.setdefault(row.passage, set()).add(row.query)
    queries = sorted(first_rows)
    bm25 = build_retriever("bm25s", [Document(text, id=str(number)) for number, text in enumerate(queries)])
    for row in rows:
        if not row.relevant:
            continue
        yield row
        own = taken[row.passage]
        ranked = (hit.text for hit in bm25.search(row.passage, nearest + len(own)))
        others = [text for text in ranked if text not in own][:nearest]
        draw = seeded(json.dumps([seed, row.id]))
        for text in draw.sample(others, min(count, len(others))):
            yield _foreign(first_rows[text], row)


def _foreign(asked: LabelledPassage, written: LabelledPassage) -> LabelledPassage:
    """The query of one row with the passage of another, which was written for somebody else."""
    return replace(
        asked,
        id=f"{asked.query_id}<-{written.id}",
        passage=written.passage,
        trace="",
        relevant=False,
        intent=FOREIGN,
        false_claim=written.false_claim,
        votes=(),
        second=(),
        sources=tuple(dict.fromkeys((*asked.sources, *written.sources))),
        meta={"passage_of": written.query_id},
    )
