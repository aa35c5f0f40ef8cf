"""One recipe asked in several orders of the list, whose answers are averaged."""

from __future__ import annotations

from limrank_plugins.recipes import Recipe, load_recipe
from limrank_plugins.recipes._options import part_name
from limrank_plugins.recipes._wrapped import wrapped
from limrank_plugins.wrappers.vote import Vote


def recipe(of: str = "rankgpt", times: int = 3, seed: int = 0) -> Recipe:
    """The recipe of another one.

    Args:
        of: what is asked.
        times: in how many orders.
        seed: of the orders.
    """
    name = part_name(of, "of")
    return voted(
        "vote",
        f"asks {name} about the list in {times} orders and takes the mean of its answers",
        name,
        Vote(times, seed=seed),
    )


def voted(name: str, summary: str, of: str, wrapper: Vote) -> Recipe:
    """A recipe that holds a vote on another."""
    return wrapped(
        name,
        summary,
        "score" if load_recipe(of).score_kind != "rank" else "order",
        wrapper,
        [of],
        calls=f"{wrapper.times} times those of {of}, in lockstep",
        tokens=f"{wrapper.times} times those of {of}",
        paper="permutation self-consistency, arXiv:2310.07712",
    )


RECIPE = recipe()
