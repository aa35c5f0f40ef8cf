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
            written = rows_of_passage[text]
            yield replace(
                first,
                id=f"{query_id}<-{written.id}",
                passage=text,
                trace="",
                relevant=False,
                intent=FOREIGN,
                false_claim=written.false_claim,
                votes=(),
                second=(),
                sources=tuple(dict.fromkeys((*first.sources, *written.sources))),
                meta={"passage_of": written.query_id},
            )
