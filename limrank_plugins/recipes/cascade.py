"""A cheap recipe first, a dear one on the head of its ranking; and thinking only where it matters."""

from __future__ import annotations

from dataclasses import replace

from limrank_plugins.errors import InputError
from limrank_plugins.recipes import Part, Recipe, load_recipe, part_names
from limrank_plugins.wrappers.budget import Budget
from limrank_plugins.wrappers.cascade import Cascade
from limrank_plugins.wrappers.contenders import Contenders


def recipe(
    first: str = "mini",
    then: str = "limrank",
    top: int = 20,
    tokens: int | None = None,
    seconds: float | None = None,
) -> Recipe:
    """The recipe with other parts or another budget.

    Args:
        first: the cheap one, which ranks the whole list.
        then: the dear one, which ranks the head.
        top: how many documents that is.
        tokens: end the dear one's work when so many are used up; for recipes that score one by one.
        seconds: the same, of model time.
    """
    (cheap,), (dear,) = part_names(str(first)), part_names(str(then))
    wrapper = Cascade(Budget(top, tokens, None if seconds is None else float(seconds)))
    parts = Part(cheap), Part(dear)
    known = [load_recipe(cheap), load_recipe(dear)]
    wrapper.check(known)
    last = known[-1]
    return Recipe(
        name="cascade",
        summary="a cheap recipe (mini) ranks the list, a dear one (limrank) the first 20 of it",
        oracle="order",
        readout=None,
        schedule=None,
        wrapper=wrapper,
        parts=parts,
        score_kind="rank",
        backend=last.backend,
        model=last.model,
        reasoning=last.reasoning,
        max_reasoning_tokens=last.max_reasoning_tokens,
        calls="those of `first` for N documents, those of `then` for 20",
        tokens="as the calls",
        paper="multi-stage ranking, arXiv:1910.14424",
        licence=f"those of the parts; {last.licence}",
    )


def thinking_where_it_matters(inner: Recipe, budget: str | Budget | None) -> Recipe:
    """`reasoning="auto"`: the recipe without reasoning, then with it where that can change the top.

    Raises:
        InputError: a recipe without reasoning, or one that does not score documents one by one.
    """
    if inner.reasoning is None:
        raise InputError(f"recipe {inner.name!r} has no reasoning to switch on; leave reasoning out")
    wrapper = Contenders(Budget.of(budget))
    wrapper.check([inner, inner])
    return replace(
        inner,
        readout=None,
        schedule=None,
        template=None,
        wrapper=wrapper,
        parts=(Part(inner, reasoning="none", shared=True), Part(inner, reasoning="full")),
    )


def with_budget(made: Recipe, budget: str | Budget) -> Recipe:
    """A cascade with another budget.

    Raises:
        InputError: the recipe is no cascade.
    """
    if not isinstance(made.wrapper, Cascade | Contenders):
        raise InputError(f"budget={str(budget)!r} needs reasoning='auto' or recipe 'cascade'")
    wrapper = replace(made.wrapper, budget=Budget.of(budget))
    return replace(made, wrapper=wrapper)


RECIPE = recipe()
