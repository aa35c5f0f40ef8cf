"""A prompt of every template: with each recipe's names for documents, and what else it is given."""

from __future__ import annotations

from typing import Any

from limrank_plugins.prompts import Template
from limrank_plugins.readouts.labels import ALPHABETIC, NUMERIC, PLAIN
from limrank_plugins.segments import Prompt

QUERY = "why does milk curdle in tea?"
PASSAGES = ["Acid curdles milk at 70 °C.", "Bread rises, 2024.", "Iron rusts in moist air."]


def rendered(template: Template, passages: list[str] = PASSAGES) -> Prompt:
    """One prompt: about all passages where the template loops over them, otherwise about the first."""
    letters = template.labels[:1] in (("A",), (" A",)) and template.name != "graded"
    labels = ALPHABETIC if letters else PLAIN if template.name == "mm-r5" else NUMERIC
    names: dict[str, Any] = {"labels": labels.shown(len(passages)), "levels": 5, "scale": 100}
    names |= {"query_kind": "query", "document_kind": "document", "condition": "it helps"}
    names |= {"priors": [3, None, 1], "prior_name": "score", "prior_note": ""}
    several = "in documents %}" in template.prompt
    return template.render(QUERY, passages if several else passages[:1], **names)
