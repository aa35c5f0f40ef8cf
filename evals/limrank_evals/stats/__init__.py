"""How sure a number is: intervals of means and accuracies, and tests of two systems on the same questions."""

from __future__ import annotations

from limrank_evals.stats.intervals import Interval, bootstrap, bootstrap_of, bootstrap_of_means, wilson
from limrank_evals.stats.paired import WinTieLoss, mcnemar, randomisation_test, t_test, won_tied_lost

__all__ = [
    "Interval",
    "WinTieLoss",
    "bootstrap",
    "bootstrap_of",
    "bootstrap_of_means",
    "mcnemar",
    "randomisation_test",
    "t_test",
    "wilson",
    "won_tied_lost",
]
