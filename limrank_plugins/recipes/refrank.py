"""RefRank (arXiv 2506.11452): every passage is compared with one reference passage of the first stage."""

from __future__ import annotations

from limrank_plugins.checks import whole_number
from limrank_plugins.readouts.reference import AgainstReference
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Once


def recipe(reference: int = 1, orders: int = 2) -> Recipe:
    """The recipe with another reference.

    Args:
        reference: the place of the reference in the first stage's order, from 1.
        orders: 2 asks about every pair both ways round; 1 with the reference behind, for half of the calls.

    Raises:
        InputError: a number out of bounds.
    """
    whole_number("reference", reference, least=1)
    whole_number("orders", orders, least=1, most=2)
    both = orders == 2
    return Recipe(
        name="refrank",
        summary="compares every passage with one reference passage; P(it is the better one) is the score",
        oracle="select",
        template="pairwise",
        readout=AgainstReference(reference, both),
        schedule=Once(),
        score_kind="probability",
        backend="transformers",
        model="Qwen/Qwen2.5-7B-Instruct",
        calls="2·(N - 1), all at once" if both else "N - 1, all at once",
        tokens="calls · (Q + 2·D), none written",
        paper="arXiv:2506.11452",
        licence="Apache-2.0",
    )


RECIPE = recipe()
