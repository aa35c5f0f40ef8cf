"""Prompts about several documents: in which orders they are shown, and what did not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from limrank_plugins.data import Document, Query
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.labels import Labels
from limrank_plugins.seeding import seeded
from limrank_plugins.segments import Prompt


def group_prompt(
    query: Query,
    documents: Sequence[Document],
    template: Template,
    settings: Settings,
    labels: Labels,
    **names: Any,
) -> Prompt:
    """The prompt about these documents, in this order; neither they nor the query can write a label.

    Args:
        query: what is searched for.
        documents: the group, as it is shown.
        template: of the prompt.
        settings: its `instruction` is used.
        labels: what the documents are called.
        names: further names for the template.
    """
    return template.render(
        labels.neutral(instructed(query, settings.instruction)),
        [labels.neutral(template.passage.written(document)) for document in documents],
        query_images=query.images,
        images=[document.images for document in documents],
        labels=labels.shown(len(documents)),
        **names,
    )


def shown_orders(documents: Sequence[Document], settings: Settings) -> list[list[int]]:
    """The orders in which the documents are shown: as they are, or `samples` seeded permutations.

    A permutation depends on the seed and the documents alone, never on what was asked before.
    """
    if settings.samples == 1:
        return [list(range(len(documents)))]
    group = [[document.id, document.passage] for document in documents]
    orders: list[list[int]] = []
    for sample in range(settings.samples):
        order = list(range(len(documents)))
        seeded(json.dumps([settings.seed, sample, group])).shuffle(order)
        orders.append(order)
    return orders


def cut_tokens(
    orders: Sequence[Sequence[int]], prompts: Sequence[Prompt], tokens: Sequence[int]
) -> tuple[int, ...]:
    """Tokens left out per document of the group, the most of all prompts; empty for none.

    A backend says how many tokens of a prompt were left out in all. Where every document has a most of
    its own, they are shared out over those that are longer, as if all characters made equally many tokens.
    Else the longest document is cut first, so they are noted on it.

    Args:
        orders: in which the documents stand in each prompt.
        prompts: one for each order.
        tokens: for each prompt, how many tokens were left out.
    """
    most = [0] * len(orders[0])
    for order, prompt, number in zip(orders, prompts, tokens, strict=True):
        documents = [segment for segment in prompt.segments if segment.cuttable]
        lengths = [len(document.text) for document in documents]
        limit = documents[0].most
        for position, cut in zip(order, _shared_out(lengths, number, limit), strict=True):
            most[position] = max(most[position], cut)
    return tuple(most) if any(most) else ()


def _shared_out(lengths: Sequence[int], number: int, limit: int | None) -> list[int]:
    """So many tokens as cuts of documents of these lengths in characters."""
    cuts = [0] * len(lengths)
    by_length = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    if limit is None or not number:
        cuts[by_length[0]] = number
        return cuts
    characters = 0
    for count, i in enumerate(by_length, start=1):
        characters += lengths[i]
        # If these were cut and no others, so many tokens would a character be.
        rate = (number + count * limit) / max(1, characters)
        if count == len(lengths) or rate * lengths[by_length[count]] <= limit:
            break
    for i in by_length[1:count]:
        cuts[i] = max(0, round(rate * lengths[i] - limit))
    cuts[by_length[0]] = max(0, number - sum(cuts))
    return cuts
