"""BM25 as its formula says, one document and one term at a time, and texts to try it on."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import Stemmer
from hypothesis import strategies as st

STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by for if in into is it no not of on or such that the their then there "
        "these they this to was will with",
    )
)


def terms(text: str) -> list[str]:
    """What the default analysis makes of a text, written down a second time."""
    stem = Stemmer.Stemmer("english").stemWord
    return [stem(word) for word in re.findall(r"\b\w\w+\b", text.lower()) if word not in STOP]


def lucene_scores(passages: Sequence[str], query: str, k1: float = 0.9, b: float = 0.4) -> list[float]:
    """Lucene's BM25 in double precision."""
    counted = [Counter(terms(passage)) for passage in passages]
    lengths = [sum(counts.values()) for counts in counted]
    average = sum(lengths) / len(lengths)
    scores = []
    for counts, length in zip(counted, lengths, strict=True):
        score = 0.0
        for term in terms(query):
            if counts[term]:
                within = sum(term in other for other in counted)
                idf = math.log(1 + (len(passages) - within + 0.5) / (within + 0.5))
                saturation = counts[term] / (counts[term] + k1 * (1 - b + b * length / average))
                score += idf * saturation
        scores.append(score)
    return scores


def ranked(scores: Sequence[float]) -> list[int]:
    """Positions of the documents that match, best first, equal ones in corpus order."""
    return sorted((i for i, score in enumerate(scores) if score > 0), key=lambda i: (-scores[i], i))


# Few words, so that they repeat, tie and are in most documents; stop words, stems and letters among them.
WORDS = [
    "acid",
    "acids",
    "milk",
    "curdle",
    "curdled",
    "bread",
    "rises",
    "tea",
    "the",
    "not",
    "C",
    "élan",
    "2nd",
]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
corpora = st.lists(texts, min_size=1, max_size=12)
questions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)

PASSAGES = [
    "Acid curdles milk because the proteins clump together.",
    "Bread rises because yeast makes gas.",
    "Milk, milk and more milk: curdled milk.",
    "Tea is an infusion of leaves in hot water; milk is added by some.",
    "Rivers carve valleys.",
    "The acid in lemon juice curdles milk in tea.",
]
