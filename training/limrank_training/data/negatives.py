"""Which negatives a positive is learned against: the query's own first, then passages of other queries."""

from __future__ import annotations

import json
from collections.abc import Sequence

from limrank_plugins.seeding import seeded
from limrank_training.data.query_passages import QueryPassages


class NegativeSampler:
    """Draws passages by a seed: the same for the same queries, whatever their order.

    Args:
        queries: all of one split; passages are never drawn from another.
        seed: of every draw.
    """

    def __init__(self, queries: Sequence[QueryPassages], seed: int) -> None:
        self._seed = seed
        # Sorted, so that a draw does not depend on the order of the file.
        self._pool = sorted({text for query in queries for text in (*query.positives, *query.negatives)})

    def negatives(self, query: QueryPassages, positive: str, count: int) -> list[str]:
        """So many passages that do not answer the query, or as many as there are; none comes twice.

        Args:
            query: the query; none of its positives is ever drawn.
            positive: the one they are drawn for.
            count: how many are wanted.
        """
        draw = seeded(json.dumps([self._seed, query.query, positive]))
        own = list(query.negatives)
        if len(own) >= count:
            return draw.sample(own, count)
        taken = {*own, *query.positives}
        missing = count - len(own)
        if missing * 4 < len(self._pool) - len(taken):
            while len(own) < count:  # a list of millions need not be made for a few
                text = draw.choice(self._pool)
                if text not in taken:
                    taken.add(text)
                    own.append(text)
            return own
        others = [text for text in self._pool if text not in taken]
        return own + draw.sample(others, min(missing, len(others)))
