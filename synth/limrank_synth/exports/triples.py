"""Triples, which sentence-transformers trains encoders on: anchor, positive, negative."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.lines import whole_lines
from limrank_synth.passage_groups import shown
from limrank_synth.records import LabelledPassage
from limrank_synth.spool import by_query


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """As many triples of a query as it has positives or negatives, whichever are more.

    So each passage is in one at least, and a query with many of both does not drown the others.
    """
    count, left_out = 0, Counter[str]()
    with whole_lines(folder / "train.jsonl") as line:
        for group in by_query(rows, folder):
            drawn = shown(group, options.seed, max(len(group), 2))
            good = [row.passage for row in drawn if row.relevant]
            bad = [row.passage for row in drawn if not row.relevant]
            if not good or not bad:
                left_out["query: it has no positive, or no negative"] += 1
                continue
            for i in range(max(len(good), len(bad))):
                triple = {
                    "anchor": group[0].query,
                    "positive": good[i % len(good)],
                    "negative": bad[i % len(bad)],
                }
                line(json.dumps(triple, ensure_ascii=False) + "\n")
                count += 1
    return ExportCounts({"train.jsonl": count}, left_out)


LAYOUT = ExportLayout(
    "triples", "anchor, positive and negative, for sentence-transformers", write, generates=False
)
