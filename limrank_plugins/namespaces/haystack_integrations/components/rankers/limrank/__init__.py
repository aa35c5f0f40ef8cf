"""LIMRANK for Haystack: `LimRankRanker` (https://haystack.deepset.ai)."""

from haystack_integrations.components.rankers.limrank.ranker import LimRankRanker

__all__ = ["LimRankRanker"]
