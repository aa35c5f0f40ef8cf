"""Listwise recipes under another schedule: what is asked about a window stays what it is."""

from __future__ import annotations

from dataclasses import replace

from limrank_plugins.errors import InputError
from limrank_plugins.recipe import Recipe
from limrank_plugins.recipes import load_recipe
from limrank_plugins.recipes._options import part_name
from limrank_plugins.schedules import Schedule, SlidingWindow


def rescheduled(
    name: str, summary: str, of: str, schedule: Schedule, window: int, *, calls: str, paper: str
) -> Recipe:
    """A recipe that orders windows, with another schedule than its sliding one.

    Args:
        name: of the new recipe.
        summary: one line for people.
        of: the recipe that orders windows.
        schedule: the new one.
        window: documents in a prompt, as many at most as the recipe has labels for.
        calls: per query.
        paper: where the schedule is published.

    Raises:
        InputError: there is no such recipe, its windows do not slide, or they are too large for its labels.
    """
    base = load_recipe(part_name(of, "of"))
    if not isinstance(base.schedule, SlidingWindow) or base.readout is None:
        raise InputError(
            f"of must be a recipe whose windows slide (rankgpt, first, insertrank, reasonrank, mm-r5), "
            f"but got {of!r}"
        )
    labels = getattr(base.readout, "labels", None)
    if labels is not None:
        labels.shown(window)  # more than there are letters are refused here, not in the middle of a ranking
    return replace(base, name=name, summary=summary, schedule=schedule, calls=calls, paper=paper)
