"""Query likelihood (UPR, arXiv 2204.07496): how likely the query is as a question about each passage."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.likelihood import QueryLikelihood
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Chunks


def recipe(reduce: Literal["mean", "sum"] | None = None, wording: Literal["ours", "upr"] = "ours") -> Recipe:
    """The recipe with another sum or wording.

    Args:
        reduce: the `"mean"` or the `"sum"` of the log-probabilities of the query's tokens; default: the mean,
            and UPR's sum with its wording.
        wording: `"ours"` is for models that write on (decoders); `"upr"` is the released code's for T0, which
            counts the end of the query, too: run it with `backend="seq2seq"`, its default.
    """
    if wording not in ("ours", "upr"):
        raise InputError(f"wording must be 'ours' or 'upr', but got {wording!r}")
    upr = wording == "upr"
    if reduce is None:
        reduce = "sum" if upr else "mean"
    if reduce not in ("mean", "sum"):
        raise InputError(f"reduce must be 'mean' or 'sum', but got {reduce!r}")
    return Recipe(
        name="qlm",
        summary="scores each passage by the likelihood of the query as a question about it; no training",
        oracle="score",
        template="qlm-upr" if upr else "qlm",
        readout=QueryLikelihood(reduce, ends=upr),
        schedule=Chunks(1),
        score_kind="likelihood",
        backend="seq2seq" if upr else "transformers",
        model="bigscience/T0_3B" if upr else "Qwen/Qwen3-4B-Instruct-2507",
        calls="N",
        tokens="N·(Q + D)",
        paper="arXiv:2204.07496",
        licence="Apache-2.0; the paper's T0: Apache-2.0",
        # These two are run with backend='seq2seq'.
        checkpoints=("bigscience/T0_3B", "bigscience/T0"),
    )


RECIPE = recipe()
