"""Rows of a synthesis for tests, and files of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from limrank_synth.records import DIFFICULTIES, INTENTS, KINDS, LabelledPassage, Source
from limrank_synth.run_files import write_rows
from limrank_synth.stages.personas import OURS

OWN = Source("our seeds", "CC0-1.0", commercial=True)
FREE = (OWN, OURS)
INTENT_NAMES = ("direct", "indirect:supporting", "negative:outdated", "negative:false-claim")


def row(number: int = 0, intent: str = "direct", **changes: Any) -> LabelledPassage:
    """One row; rows with the same number are about the same query."""
    known = INTENTS.get(intent)
    relevant = known.relevant if known is not None else True
    made = LabelledPassage(
        id=f"s{number}/expert/{INTENT_NAMES.index(intent) if intent in INTENT_NAMES else 9}",
        query_id=f"s{number}/expert",
        query=f"Why does sample {number} of the alloy crack when it cools?",
        passage=f"A passage ({intent}) about cooling sample {number}. It goes on for a bit.",
        trace=f"The query asks about cracks in sample {number}. The passage is {intent}. So it is settled.",
        relevant=relevant,
        intent=intent,
        false_claim=known.false_claim if known is not None else False,
        kind=KINDS[number % 2],
        domain=("engineering", "home and repairs")[number % 2],
        difficulty=DIFFICULTIES[number % 3],
        votes=(relevant,),
        sources=FREE,
        meta={"seed": "alloy cracks", "persona": "a welder", "thought": "…", "description": "…"},
    )
    return replace(made, **changes)


def rows(queries: int, start: int = 0) -> list[LabelledPassage]:
    """Four rows for each query: direct, indirect, two negatives."""
    return [row(n, intent) for n in range(start, start + queries) for intent in INTENT_NAMES]


def rows_file(path: Path, made: Iterable[LabelledPassage]) -> Path:
    """A file as a run leaves it."""
    write_rows(path, made)
    return path


def rank1_record(number: int = 0, relevant: bool = True, **changes: str) -> dict[str, str]:
    """A record in the columns of jhu-clsp/rank1-training-data."""
    verdict = "true" if relevant else "false"
    return {
        "instruction": "Determine if the following passage is relevant to the query. "
        "Answer only with 'true' or 'false'.",
        "input": f"Query: what is number {number}\nPassage: Number {number} is a number ({verdict}).\n",
        "output": f"<think>\nOkay, the query asks about {number}. So it is {verdict}.\n</think> {verdict}",
    } | changes


def rank1_file(path: Path, count: int, start: int = 0) -> Path:
    """Rank1-style JSON lines, every second one relevant."""
    records = [rank1_record(n, relevant=n % 2 == 0) for n in range(start, start + count)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path
