"""FIRST (arXiv 2406.15657): the first letter of the order, read before it is written, scores a window."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.label_scores import LabelScores
from limrank_plugins.readouts.labels import ALPHABETIC
from limrank_plugins.recipes import Recipe
from limrank_plugins.recipes.rankgpt import Wording, template_of
from limrank_plugins.schedules import Once, Schedule, SlidingWindow

_WINDOW = (20, 10, 1)


def recipe(
    mode: Literal["window", "joint"] = "window",
    window: int = 20,
    stride: int = 10,
    passes: int = 1,
    wording: Wording = "trained",
    passage_limit: str | None = None,
) -> Recipe:
    """The recipe in another mode, for other windows, or with another prompt.

    Args:
        mode: `"window"` orders a window that slides to the front, for lists of any length; the result is
            an order. `"joint"` shows all documents, 26 at most, in one prompt; the result are the logits.
        window: documents in a prompt, at most 26.
        stride: how far the window slides.
        passes: over the list.
        wording: as for `rankgpt`.
        passage_limit: as for `rankgpt`.

    Raises:
        InputError: a mode or wording that is not known, a window over 26, windows for a mode without any, or
            no such limit.
    """
    if mode not in ("window", "joint"):
        raise InputError(f"mode must be 'window' or 'joint', but got {mode!r}")
    joint = mode == "joint"
    if joint and (window, stride, passes) != _WINDOW:
        raise InputError(
            "mode='joint' has no window: leave window, stride and passes out, or use mode='window'"
        )
    if not joint:
        ALPHABETIC.shown(window)  # more than 26 are refused here, not in the middle of a ranking
    schedule: Schedule = Once() if joint else SlidingWindow(window, stride, passes)
    return Recipe(
        name="first",
        summary="scores 20 passages by their letters' logits in one forward pass, in a window that slides",
        oracle="score",
        template=template_of("first", wording),
        readout=LabelScores(),
        schedule=schedule,
        score_kind="logit" if joint else "rank",
        backend="transformers",
        model="castorini/first_mistral",
        calls="1 (N <= 26)" if joint else "1 + ceil((N - 20) / 10), one after another; 1 for N <= 20",
        tokens="2·Q + N·D, none written" if joint else "calls · (2·Q + 20·D), none written",
        paper="arXiv:2406.15657; weights: arXiv:2411.05508",
        licence="MIT; base Mistral-7B-Instruct-v0.3: Apache-2.0",
        checkpoints=("rryisthebest/First_Model",),
        passage_limit=passage_limit,
    )


RECIPE = recipe()
