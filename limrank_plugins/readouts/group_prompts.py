"""Prompts about several documents: in which orders they are shown, and what did not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence

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
    **names: object,
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
        [labels.neutral(document.passage) for document in documents],
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

    A backend says how many tokens of a prompt were left out in all. The longest document is always
    cut first, so they are noted on it.

    Args:
        orders: in which the documents stand in each prompt.
        prompts: one for each order.
        tokens: for each prompt, how many tokens were left out.
    """
    most = [0] * len(orders[0])
    for order, prompt, number in zip(orders, prompts, tokens, strict=True):
        lengths = [len(segment.text) for segment in prompt.segments if segment.cuttable]
        longest = order[lengths.index(max(lengths))]
        most[longest] = max(most[longest], number)
    return tuple(most) if any(most) else ()
