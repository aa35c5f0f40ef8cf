"""From an encoder's states to one logit per label: gather, pool, project, score. Padding changes nothing.

With h_k the state at the k-th label marker and t the pooled states of the text (arXiv 2508.07662):

    dot:           z_k = p_text(t) · p_label(h_k)
    weighted-dot:  z_k = MLP([a1; b_k1; a2 * b_k2]), a = W_text p_text(t), b_k = W_label p_label(h_k)
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from limrank_plugins.errors import InputError, require

Pooling = Literal["first", "mean", "max"]
Scorer = Literal["dot", "weighted-dot"]


def gather(states: Any, ids: Any, marker: int) -> tuple[Any, Any]:
    """The states at every marker, in order.

    Args:
        states: shape (rows, tokens, size).
        ids: token ids, shape (rows, tokens).
        marker: the id to look for.

    Returns:
        States, shape (rows, most markers, size), zeros where a row has fewer; and which are real, bool,
        shape (rows, most markers).
    """
    torch = require("torch", "transformers", "GLiClass")
    is_marker = ids == marker
    counts = is_marker.sum(dim=1)
    width = int(counts.max())
    real = torch.arange(width, device=ids.device)[None, :] < counts[:, None]
    gathered = states.new_zeros(len(ids), width, states.shape[-1])
    gathered[real] = states[is_marker]  # both are in reading order
    return gathered, real


def text_mask(ids: Any, attention: Any, separator: int, *, prompt_first: bool) -> Any:
    """The tokens of the text: from the separator on, or, where the text comes first, up to the first marker.

    Real tokens only; never none of them. Bool, shape (rows, tokens).
    """
    real = attention.bool()
    behind = (ids == separator).cumsum(dim=1) > 0
    return real & behind if prompt_first else real & ~behind


def pool(states: Any, mask: Any, how: Pooling) -> Any:
    """One state per row, shape (rows, size), from the states where the mask is true."""
    if how == "first":
        first = mask.int().argmax(dim=1)
        return states[range(len(states)), first]
    spread = mask[..., None]
    if how == "max":
        return states.masked_fill(~spread, float("-inf")).amax(dim=1)
    return (states * spread).sum(dim=1) / spread.sum(dim=1)


def head(size: int, scorer: Scorer) -> dict[str, Any]:
    """The head's modules by name, with random weights."""
    torch = require("torch", "transformers", "GLiClass")
    modules = {name: _two_layers(torch, size, size, size) for name in ("text_projector", "label_projector")}
    if scorer == "weighted-dot":
        modules["text_weights"] = torch.nn.Linear(size, 2 * size)
        modules["label_weights"] = torch.nn.Linear(size, 2 * size)
        modules["scorer"] = _two_layers(torch, 3 * size, 4 * size, 1, torch.nn.ReLU)
    return modules


def logits(modules: Any, text: Any, labels: Any) -> Any:
    """One logit for each label.

    Args:
        modules: what `head` made.
        text: pooled states, shape (rows, size).
        labels: states of the labels, shape (rows, labels, size).
    """
    torch = require("torch", "transformers", "GLiClass")
    text = modules["text_projector"](text)[:, None, :]
    labels = modules["label_projector"](labels)
    if "scorer" not in modules:
        return (text * labels).sum(dim=-1)
    a1, a2 = modules["text_weights"](text).expand(-1, labels.shape[1], -1).chunk(2, dim=-1)
    b1, b2 = modules["label_weights"](labels).chunk(2, dim=-1)
    return modules["scorer"](torch.cat([a1, b1, a2 * b2], dim=-1))[..., 0]


def check_head(pooling: str, scorer: str) -> None:
    """Raise an `InputError` for a pooling or scorer that is none."""
    for name, value, known in (("pooling", pooling, Pooling), ("scorer", scorer, Scorer)):
        if value not in get_args(known):
            raise InputError(f"{name} must be one of {', '.join(get_args(known))}, but got {value!r}")


def _two_layers(torch: Any, size: int, inner: int, outer: int, between: Any = None) -> Any:
    act = torch.nn.GELU if between is None else between
    return torch.nn.Sequential(torch.nn.Linear(size, inner), act(), torch.nn.Linear(inner, outer))
