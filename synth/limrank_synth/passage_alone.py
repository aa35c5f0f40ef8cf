"""How far verdicts can be guessed from passages alone, which a set for rerankers should not allow.

A model that is trained on a set in which relevant passages are longer, or worded otherwise, learns that, and
not to read them for a query: the hypothesis-only baseline of Poliak et al. (*SEM 2018), for passages.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from limrank_synth.filters.words import words
from limrank_synth.records import LabelledPassage


class PassageAlone(NamedTuple):
    """Areas under the ROC curve of guesses that do not see the query: .5 is chance, 1 a sure guess."""

    length: float
    words: float


def passage_alone(train: Sequence[LabelledPassage], test: Sequence[LabelledPassage]) -> PassageAlone:
    """How well the verdicts of `test` are guessed from its passages.

    The first guess is the longer passage, in words. The second is naive Bayes: the mean, over the different
    words of a passage, of log P(word | relevant) - log P(word | not relevant), each the share of the passages
    of `train` with that word, one more of each kind added (Laplace). Words that `train` lacks say nothing.
    Both sets need both labels.
    """
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    passages = Counter(row.relevant for row in train)
    for row in train:
        counts[row.relevant].update(set(words(row.passage)))
    weights = {
        word: math.log((counts[True][word] + 1) / (passages[True] + 2))
        - math.log((counts[False][word] + 1) / (passages[False] + 2))
        for word in counts[True].keys() | counts[False].keys()
    }

    def by_words(row: LabelledPassage) -> float:
        different = set(words(row.passage))
        return math.fsum(weights.get(word, 0.0) for word in different) / len(different)

    return PassageAlone(
        area_under_roc([len(words(row.passage)) for row in test], [row.relevant for row in test]),
        area_under_roc([by_words(row) for row in test], [row.relevant for row in test]),
    )


def area_under_roc(scores: Sequence[float], relevant: Sequence[bool]) -> float:
    """How often a relevant item scores higher than another one, over all such pairs; ties are half.

    It is (R - n(n + 1)/2) / (n m), of n relevant items whose mean ranks from below add up to R, and m others.
    """
    order = sorted(zip(scores, relevant, strict=True))
    rank_sum, at = 0.0, 0
    while at < len(order):
        end = at
        while end < len(order) and order[end][0] == order[at][0]:
            end += 1
        rank_sum += (at + 1 + end) / 2 * sum(label for _, label in order[at:end])
        at = end
    n = sum(relevant)
    return (rank_sum - n * (n + 1) / 2) / (n * (len(order) - n))
