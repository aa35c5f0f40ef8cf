"""Where a run goes wrong: which kinds it confuses, which queries it fails, and what that costs.

LimRank (arXiv 2510.23544), error analysis: passages that help indirectly are scored as high as those that
answer, and queries with very few relevant passages fail. Here both are measured, on any run.
"""

from __future__ import annotations

from limrank_evals.errors.analysing import analyse, analyse_evaluated
from limrank_evals.errors.analysis import Analysis
from limrank_evals.errors.kinds import Kinds, Wish, kinds_from_grades, read_kinds, read_wishes
from limrank_evals.errors.listing import Listed, Listing, listing_of, read_listing

__all__ = [
    "Analysis",
    "Kinds",
    "Listed",
    "Listing",
    "Wish",
    "analyse",
    "analyse_evaluated",
    "kinds_from_grades",
    "listing_of",
    "read_kinds",
    "read_listing",
    "read_wishes",
]
