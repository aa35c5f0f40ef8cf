"""One recipe asked in several orders of the list, whose answers are averaged."""

from __future__ import annotations

from limrank_plugins.recipes import Part, Recipe, load_recipe
from limrank_plugins.recipes._options import part_name
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
    inner = load_recipe(of)
    wrapper = wrapper.of([inner])
    return Recipe(
        name=name,
        summary=summary,
        oracle="score" if inner.score_kind != "rank" else "order",
        readout=None,
        schedule=None,
        wrapper=wrapper,
        parts=(Part(of),),
        score_kind=wrapper.score_kind,
        backend=inner.backend,
        model=inner.model,
        reasoning=inner.reasoning,
        max_reasoning_tokens=inner.max_reasoning_tokens,
        calls=f"{wrapper.times} times those of {of}, in lockstep",
        tokens=f"{wrapper.times} times those of {of}",
        paper="permutation self-consistency, arXiv:2310.07712",
        licence=inner.licence,
    )


RECIPE = recipe()
