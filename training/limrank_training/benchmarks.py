"""Names of test collections: a dev split that is one of them makes its published numbers worthless."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePath

BENCHMARKS: dict[str, str] = {
    "bright": "BRIGHT",
    "beir": "BEIR",
    "nfcorpus": "BEIR's NFCorpus",
    "scifact": "BEIR's SciFact",
    "scidocs": "BEIR's SCIDOCS",
    "fiqa": "BEIR's FiQA",
    "arguana": "BEIR's ArguAna",
    "touche": "BEIR's Touché",
    "trec-covid": "BEIR's TREC-COVID",
    "treccovid": "BEIR's TREC-COVID",
    "dl19": "TREC Deep Learning 2019",
    "dl20": "TREC Deep Learning 2020",
    "dl21": "TREC Deep Learning 2021",
    "dl22": "TREC Deep Learning 2022",
    "dl23": "TREC Deep Learning 2023",
    "dl2019": "TREC Deep Learning 2019",
    "dl2020": "TREC Deep Learning 2020",
    "followir": "FollowIR",
    "nevir": "NevIR",
    "mfollowir": "mFollowIR",
    "novelhopqa": "NovelHopQA",
    "litsearch": "LitSearch",
}
"""What is looked for in file names and ids, and what it is called. Whole words only: "brightness" is none."""


def named_benchmark(path: object, ids: Iterable[str] = ()) -> str | None:
    """The benchmark that a file's path or an id of its rows names, or None.

    Args:
        path: the file's; the last three parts are looked at, as a home may be called anything.
        ids: of rows or queries.
    """
    for text in ("/".join(PurePath(str(path)).parts[-3:]), *ids):
        words = re.split(r"[^a-z0-9]+", text.lower())
        joined = {f"{left}-{right}" for left, right in pairwise(words)}
        benchmark = next((name for key, name in BENCHMARKS.items() if key in joined.union(words)), None)
        if benchmark is not None:
            return benchmark
    return None
