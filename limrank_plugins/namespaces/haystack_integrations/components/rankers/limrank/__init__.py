"""LIMRANK for Haystack: `LimRankRanker` (https://haystack.deepset.ai)."""

from limrank_plugins.errors import require

require("haystack", "haystack", "LimRankRanker")

from haystack_integrations.components.rankers.limrank.ranker import LimRankRanker  # noqa: E402

__all__ = ["LimRankRanker"]
