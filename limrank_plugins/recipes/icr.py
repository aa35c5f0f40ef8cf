"""In-context re-ranking (ICR, arXiv 2410.02642): the attention that the query pays to each document."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.errors import InputError
from limrank_plugins.readouts.attention import Attention
from limrank_plugins.recipes import Recipe
from limrank_plugins.schedules import Once

_TEMPLATES = {"search": "icr", "question": "icr-qa"}


def recipe(
    calibrate: bool | Literal["yes", "no"] = True,
    order: Literal["worst-first", "best-first"] = "worst-first",
    task: Literal["search", "question"] = "search",
    passage_limit: str | None = None,
) -> Recipe:
    """The recipe with other options.

    Args:
        calibrate: take off the attention that the query "N/A" gets; `True`, `False`, `"yes"`, `"no"`.
        order: `"worst-first"` shows the first stage's best document last, next to the query, as the
            paper does; `"best-first"` first.
        task: what the prompt asks for: whatever is relevant to a query (`"search"`), or the answer to a
            `"question"` (the paper's two instructions).
        passage_limit: the most of a passage that is read: `"300-words"` (the default, the paper's on BEIR),
            another number, `"tokens"` for words, or `"none"` (the paper's on HotpotQA and the like).
    """
    switches = {True: True, False: False, "yes": True, "no": False}
    if calibrate not in switches:
        raise InputError(f"calibrate must be True, False, 'yes' or 'no', but got {calibrate!r}")
    if order not in ("worst-first", "best-first"):
        raise InputError(f"order must be 'worst-first' or 'best-first', but got {order!r}")
    if task not in _TEMPLATES:
        raise InputError(f"task must be 'search' or 'question', but got {task!r}")
    return Recipe(
        name="icr",
        summary="reads the query's attention to all documents of one prompt; writes nothing",
        oracle="score",
        template=_TEMPLATES[task],
        readout=Attention(switches[calibrate], order),
        schedule=Once(),
        score_kind="attention",
        backend="transformers",
        model="Qwen/Qwen3-4B-Instruct-2507",
        calls="1 (a pass over the documents and one over each of two short tails)",
        tokens="2·Q + N·D",
        paper="arXiv:2410.02642",
        licence="Apache-2.0; the paper's models: Apache-2.0 (Mistral), Llama 3.1 Community License",
        checkpoints=("mistralai/Mistral-7B-Instruct-v0.2", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        passage_limit=passage_limit,
    )


RECIPE = recipe()
