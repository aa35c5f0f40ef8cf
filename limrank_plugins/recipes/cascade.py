"""A cheap recipe first, a dear one on the head of its ranking; and reasoning only where it matters."""

from __future__ import annotations

from dataclasses import replace

from limrank_plugins.errors import InputError
from limrank_plugins.recipes import Part, Recipe, parts_of
from limrank_plugins.recipes._options import part_name
from limrank_plugins.recipes._wrapped import wrapped
from limrank_plugins.wrappers.auto_reasoning import AutoReasoning
from limrank_plugins.wrappers.budget import Budget
from limrank_plugins.wrappers.cascade import Cascade


def recipe(
    first: str = "mini",
    then: str = "limrank",
    top: int = 20,
    tokens: int | None = None,
    seconds: float | None = None,
) -> Recipe:
    """The recipe with other parts or another budget.

    `Reranker(budget=…)` takes the place of `tokens` and `seconds`, and of `top` where it says how many
    documents.

    Args:
        first: the cheap one, which ranks the whole list.
        then: the dear one, which ranks the head.
        top: how many documents that is.
        tokens: end the dear one's work when so many are used up; for recipes that score one by one.
        seconds: the same, of model time.

    Raises:
        InputError: a value that cannot be used, or a `then` that a budget cannot stop.
    """
    names = part_name(first, "first"), part_name(then, "then")
    return wrapped(
        "cascade",
        f"a cheap recipe ({names[0]}) ranks the list, a dear one ({names[1]}) the first {top} of it",
        "order",
        Cascade(Budget(tokens=tokens, seconds=seconds), top),
        names,
        calls=f"those of {names[0]} for N documents, those of {names[1]} for {top}",
        tokens="as the calls",
        paper="multi-stage ranking, arXiv:1910.14424",
    )


def auto_reasoning(inner: Recipe, budget: str | Budget | None) -> Recipe:
    """`reasoning="auto"`: the recipe without reasoning, then with it where that can change the top.

    Raises:
        InputError: a recipe without reasoning, or one that does not score documents one by one.
    """
    if inner.reasoning is None:
        raise InputError(f"recipe {inner.name!r} has no reasoning to switch on; leave reasoning out")
    wrapper = AutoReasoning(Budget.of(budget)).of([inner, inner])
    return replace(
        inner,
        readout=None,
        schedule=None,
        template=None,
        wrapper=wrapper,
        parts=(Part(inner, reasoning="none", shared=True), Part(inner, reasoning="full")),
    )


def with_budget(recipe: Recipe, budget: str | Budget) -> Recipe:
    """A cascade with another budget.

    Raises:
        InputError: the recipe is no cascade, or its second part cannot be held to the budget.
    """
    if not isinstance(recipe.wrapper, Cascade | AutoReasoning):
        raise InputError(f"budget={str(budget)!r} needs reasoning='auto' or recipe 'cascade'")
    wrapper = replace(recipe.wrapper, budget=Budget.of(budget))
    return replace(recipe, wrapper=wrapper.of(parts_of(recipe)))


RECIPE = recipe()
