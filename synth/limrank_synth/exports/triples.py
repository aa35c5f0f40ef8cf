"""Triples, which sentence-transformers trains encoders on: anchor, positive, negative."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from limrank_plugins.outputs import write_json_lines
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.gold_groups import shown
from limrank_synth.records import LabelledPassage
from limrank_synth.spool import by_query


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """As many triples of a query as it has positives or negatives, whichever are more.

    So each passage is in one at least, and a query with many of both does not drown the others.
    """
    left_out = Counter[str]()

    def triples() -> Iterator[dict[str, str]]:
        for group in by_query(rows, folder):
            drawn = shown(group, options.seed, max(len(group), 2))
            good = [row.passage for row in drawn if row.relevant]
            bad = [row.passage for row in drawn if not row.relevant]
            if not good or not bad:
                left_out["query: it has no positive, or no negative"] += 1
                continue
            for i in range(max(len(good), len(bad))):
                yield {
                    "anchor": group[0].query,
                    "positive": good[i % len(good)],
                    "negative": bad[i % len(bad)],
                }

    return ExportCounts({"train.jsonl": write_json_lines(folder / "train.jsonl", triples())}, left_out)


LAYOUT = ExportLayout(
    "triples", "anchor, positive and negative, for sentence-transformers", write, generates=False
)
