"""The embedded default: a small sentence encoder beside the first stage's score. No trained parameters."""

from __future__ import annotations

from typing import Literal, get_args

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.similarity import WINDOWS, Similarity
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Once

Pieces = Literal["both", "first"]


def recipe(pieces: Pieces = "both") -> Recipe:
    """The recipe.

    Args:
        pieces: how a passage longer than the encoder reads is judged: by its beginning and its best window
            (`"both"`), or by its beginning alone (`"first"`).

    Raises:
        InputError: there is no such way.
    """
    if pieces not in get_args(Pieces):
        raise InputError(f"pieces must be {' or '.join(map(repr, get_args(Pieces)))}, but got {pieces!r}")
    return Recipe(
        name="mini",
        summary="cosine of a 22M-parameter sentence encoder + .35 · first-stage score; runs on any laptop",
        oracle="score",
        readout=Similarity(windows=WINDOWS if pieces == "both" else 1),
        schedule=Once(),
        score_kind="similarity",
        backend="encoder",
        model="mini",
        calls="N + 1 (none for passages whose vector is in the store)",
        tokens="Q + N·D",
        paper="sentence-transformers/all-MiniLM-L6-v2; arXiv:2002.10957",
        licence="Apache-2.0",
    )


RECIPE = recipe()
