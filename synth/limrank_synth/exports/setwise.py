"""Setwise examples in Rank-R1's layout (arXiv 2503.06034): one positive among negatives, and its label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.outputs import write_json_lines
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.labels import NUMERIC
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.gold_groups import chat, grade, group_prompt, shown
from limrank_synth.records import LabelledPassage
from limrank_synth.spool import by_query

RECIPE = "rank-r1"


def examples(rows: Sequence[LabelledPassage], options: ExportOptions) -> Iterator[dict[str, Any]]:
    """One example for each positive of a query, against its negatives; none where it lacks either."""
    positives = [row for row in rows if grade(row) > 0]
    negatives = [row for row in rows if grade(row) == 0]
    if not negatives:
        return
    template = load_template(RECIPE)
    opening = template.no_think.removesuffix(template.close)
    for positive in positives:
        # The positive first among equals in the draw of negatives, then all of them shuffled.
        against = shown(negatives, options.seed, options.size - 1)
        group = shown([positive, *against], options.seed, options.size)
        at = next(i for i, row in enumerate(group) if row.id == positive.id)
        label = NUMERIC.shown(len(group))[at]
        reasoning = NUMERIC.neutral(positive.trace.strip())
        yield {
            "query_id": positive.query_id,
            "query": positive.query,
            "passages": [{"id": row.id, "text": row.passage} for row in group],
            "label": label,
            "prompt": chat(group_prompt(RECIPE, group)),
            "completion": [
                {"role": "assistant", "content": f"{opening} {reasoning}{template.close}{label}</answer>"}
            ],
        }


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """Examples of every query; `label` is what Rank-R1's reward compares the answer with."""
    left_out = Counter[str]()

    def all_examples() -> Iterator[dict[str, Any]]:
        for group in by_query(rows, folder):
            of_group = list(examples(group, options))
            if not of_group:
                left_out["query: it has no positive, or no negative"] += 1
            yield from of_group

    return ExportCounts({"train.jsonl": write_json_lines(folder / "train.jsonl", all_examples())}, left_out)


LAYOUT = ExportLayout("setwise", "one positive among negatives and its label, in Rank-R1's layout", write)
