"""Synthesised rows for tests: as many as wanted, of every purpose, kind and difficulty."""

from __future__ import annotations

from typing import Any

from limrank_synth.records import DIFFICULTIES, INTENTS, KINDS, LabelledPassage, Source

_QUERIES = (
    "My sourdough is flat since we moved to the mountains, although I changed nothing about the recipe. What "
    "should I try before I give up on the starter?",
    "A tenant deducted the cost of a new boiler from the rent without asking. Which rule decides whether the "
    "landlord has to accept that, and what would he have to show?",
)
_PASSAGE = (
    "At altitude the air is thinner, so the gas in a dough expands more and escapes sooner. Bakers in the "
    "mountains use less yeast, a little more water, and shorter rises; a recipe that worked at sea level "
    "collapses before the crust has set.\n\nA starter is rarely the cause. It grows faster in dry, thin air "
    "and is past its peak when the baker expects it to be ready."
)
_TRACE = (
    "The person asks why bread that used to rise no longer does after a move to the mountains. The passage "
    "says what thinner air does to a dough and to a starter, and what bakers change. That speaks to the "
    "cause and to what to try first, so it is what was looked for."
)


def make_row(number: int = 0, **changes: Any) -> LabelledPassage:
    """One row; equal for equal arguments."""
    names = list(INTENTS)
    intent = INTENTS[names[number % len(names)]]
    kind = KINDS[number // len(names) % len(KINDS)]
    fields: dict[str, Any] = {
        "id": f"q{number // 4}/{kind}/{number % 4}",
        "query_id": f"q{number // 4}/{kind}",
        "query": _QUERIES[number % 2],
        "passage": _PASSAGE,
        "trace": _TRACE,
        "relevant": intent.relevant,
        "intent": intent.name,
        "false_claim": intent.false_claim,
        "kind": kind,
        "domain": "law" if number % 2 else "cooking and food",
        "difficulty": DIFFICULTIES[number % 3],
        "votes": (intent.relevant,) * 3,
        "second": (intent.relevant,) if number % 2 else (),
        "sources": (Source("limrank personas", "MIT", True), Source("model m", "terms")),
        "meta": {
            "seed": "why does dough not rise",
            "persona": "a retired postman who bakes for his street",
            "thought": "What lifts a dough, and what of it depends on the air around it?",
            "description": "explains what altitude does to dough",
            "judge": "m",
        },
    }
    return LabelledPassage(**(fields | changes))


def make_rows(count: int) -> list[LabelledPassage]:
    """So many rows with ids of their own."""
    return [make_row(number, id=f"row-{number:03}") for number in range(count)]
