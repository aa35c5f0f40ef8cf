"""Where a run goes wrong: which kinds it confuses, which queries it fails, and what that costs.

LimRank (arXiv 2510.23544), error analysis: passages that help indirectly are scored as high as those that
answer, and queries with very few relevant passages fail. Here both are measured, on any run.
"""

from __future__ import annotations

from limrank_evals.errors.analyse_run import analyse, analyse_evaluated
from limrank_evals.errors.detailed_run import DetailedRun, RunHit, detailed_run_of, read_detailed_run
from limrank_evals.errors.error_analysis import Analysis
from limrank_evals.errors.kinds import Kinds, Wish, kinds_from_grades, read_kinds, read_wishes

__all__ = [
    "Analysis",
    "Kinds",
    "RunHit",
    "DetailedRun",
    "Wish",
    "analyse",
    "analyse_evaluated",
    "kinds_from_grades",
    "detailed_run_of",
    "read_kinds",
    "read_detailed_run",
    "read_wishes",
]
