"""Setwise examples in Rank-R1's layout (arXiv 2503.06034): one positive among negatives, and its label."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.labels import NUMERIC
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.lines import whole_lines
from limrank_synth.passage_groups import chat, grade, group_prompt, shown
from limrank_synth.records import LabelledPassage
from limrank_synth.spool import by_query

RECIPE = "rank-r1"


def examples(rows: Sequence[LabelledPassage], options: ExportOptions) -> Iterator[dict[str, Any]]:
    """One example for each positive of a query, against its negatives; none where it lacks either."""
    positives = [row for row in rows if grade(row) > 0]
    negatives = [row for row in rows if grade(row) == 0]
    if not negatives:
        return
    known = load_template(RECIPE)
    opening = known.no_think.removesuffix(known.close)
    for positive in positives:
        # The positive first among equals in the draw of negatives, then all of them shuffled.
        against = shown(negatives, options.seed, options.size - 1)
        group = shown([positive, *against], options.seed, options.size)
        at = next(i for i, row in enumerate(group) if row.id == positive.id)
        label = NUMERIC.shown(len(group))[at]
        thought = NUMERIC.neutral(positive.trace.strip())
        yield {
            "query_id": positive.query_id,
            "query": positive.query,
            "passages": [{"id": row.id, "text": row.passage} for row in group],
            "label": label,
            "prompt": chat(group_prompt(RECIPE, group)),
            "completion": [
                {"role": "assistant", "content": f"{opening} {thought}{known.close}{label}</answer>"}
            ],
        }


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """Examples of every query; `label` is what Rank-R1's reward compares the answer with."""
    count, left_out = 0, Counter[str]()
    with whole_lines(folder / "train.jsonl") as line:
        for group in by_query(rows, folder):
            found = 0
            for made in examples(group, options):
                line(json.dumps(made, ensure_ascii=False) + "\n")
                found += 1
            if not found:
                left_out["query: it has no positive, or no negative"] += 1
            count += found
    return ExportCounts({"train.jsonl": count}, left_out)


LAYOUT = ExportLayout("setwise", "one positive among negatives and its label, in Rank-R1's layout", write)
