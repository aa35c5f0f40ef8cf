"""nDCG@10 of a reranker on topics of the world: in all, and by the steps a query needs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from limrank_plugins import Reranker
from limrank_plugins.ndcg import ndcg
from limrank_training.world.topics import Topic


def measure(reranker: Reranker, topics: Sequence[Topic]) -> dict[str, Any]:
    """Rank every topic's passages and measure them.

    Returns:
        `ndcg` on average, `by_steps` the same for queries of 0, 1 and 2 steps, `failed` passages that
        could not be judged.
    """
    rankings = reranker.rank_many(
        [(topic.query.text, [passage.text for passage in topic.passages]) for topic in topics]
    )
    values = [
        ndcg([float(topic.passages[int(i)].relevant) for i in ranking.ids])
        for topic, ranking in zip(topics, rankings, strict=True)
    ]
    by_steps: dict[int, list[float]] = {}
    for topic, value in zip(topics, values, strict=True):
        by_steps.setdefault(topic.query.steps, []).append(value)
    return {
        "ndcg": fmean(values),
        "by_steps": {steps: fmean(of_steps) for steps, of_steps in sorted(by_steps.items())},
        "failed": sum(len(ranking.failures) for ranking in rankings),
    }


def chance(topics: Sequence[Topic]) -> float:
    """What a random order gets on average: the gain of one relevant passage at every place alike."""
    return sum(expected(len(topic.passages)) for topic in topics) / len(topics)


def expected(size: int) -> float:
    """The mean nDCG@10 over all places that one relevant passage of so many can take."""
    return fmean(ndcg([float(place == relevant) for place in range(size)]) for relevant in range(size))
