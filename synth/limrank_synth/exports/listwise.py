"""Listwise examples in ReasonRank's layout: reasons in `<think>`, the gold order in `<answer>`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.ndcg import ndcg
from limrank_plugins.outputs import write_json_lines
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.labels import NUMERIC, without_tags
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.gold_groups import chat, conclusion, gold_order, grade, group_prompt, shown
from limrank_synth.pointwise_layout import has_marker
from limrank_synth.records import LabelledPassage
from limrank_synth.spool import by_query

RECIPE = "reasonrank"


def example(rows: Sequence[LabelledPassage], options: ExportOptions) -> dict[str, Any] | str:
    """One query's example; or why it has none.

    Args:
        rows: of the query.
        options: `lists` may hold a model's order of them.
    """
    group = shown(rows, options.seed, options.size)
    labels = NUMERIC.shown(len(group))
    gold_list = options.lists.get(rows[0].query_id)
    if gold_list is None:
        order = gold_order(group)
        reasons = [conclusion(row.trace, options.reason_words) for row in group]
        reasoning = "\n".join(
            f"{label} {NUMERIC.neutral(why)}" for label, why in zip(labels, reasons, strict=True)
        )
    else:
        places = {row.id: i for i, row in enumerate(group)}
        if set(gold_list.ids) != set(places) or len(gold_list.ids) != len(places):
            return "its list is not about the rows that are shown"
        if has_marker(gold_list.reasoning):
            return "the reasons of its list hold a marker"
        order = [places[identifier] for identifier in gold_list.ids]
        # The model's own words mention the labels it was shown; only tags would end the reasoning.
        reasoning = without_tags(gold_list.reasoning)
    if len({grade(row) for row in group}) < 2:
        return "its passages are all alike: nothing to order"
    # The paper's pointwise labels are yes or no.
    agreement = ndcg([float(group[i].relevant) for i in order])
    if agreement < options.consistency:
        return f"its gold order disagrees with the pointwise labels (nDCG@10 below {options.consistency:g})"
    return {
        "query_id": rows[0].query_id,
        "query": rows[0].query,
        "passages": [{"id": row.id, "text": row.passage, "grade": grade(row)} for row in group],
        "order": order,
        "ndcg": round(agreement, 6),
        "prompt": chat(group_prompt(RECIPE, group)),
        "completion": [
            {"role": "assistant", "content": completion(reasoning, " > ".join(labels[i] for i in order))}
        ],
    }


def completion(reasoning: str, order: str) -> str:
    """`<think> … </think> <answer>…</answer>`, with the tags where inference closes them."""
    template = load_template(RECIPE)
    opening = template.no_think.removesuffix(template.close)
    return f"{opening} {reasoning.strip()}{template.close}{order}</answer>"


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """One example for each query with passages of different grades."""
    left_out = Counter[str]()

    def examples() -> Iterator[dict[str, Any]]:
        for group in by_query(rows, folder):
            record = example(group, options)
            if isinstance(record, str):
                left_out[f"query: {record}"] += 1
            else:
                yield record

    return ExportCounts({"train.jsonl": write_json_lines(folder / "train.jsonl", examples())}, left_out)


LAYOUT = ExportLayout("listwise", "groups with gold order and reasons, in ReasonRank's layout", write)
