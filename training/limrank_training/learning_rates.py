"""Two learning rates: one for the model, another for a head on an encoder or a projector."""

from __future__ import annotations

from typing import Any

from limrank_plugins.errors import InputError

_HEADS = ("multi_modal_projector", "text_projector", "label_projector", "text_weights", "label_weights",
          "scorer", "tok_proj")  # fmt: skip


def is_head(name: str) -> bool:
    """Whether a parameter belongs to a head on an encoder, or to a projector between two models."""
    return any(part in _HEADS for part in name.split("."))


def set_head_rate(model: Any, optimizer: Any, rate: float) -> None:
    """Give the head's parameters a learning rate of their own; weight decay stays as it is.

    Raises:
        InputError: the model has no head that is trained.
    """
    heads = {id(p) for name, p in model.named_parameters() if p.requires_grad and is_head(name)}
    if not heads:
        raise InputError("optimiser.head is given, but the model has no head or projector that is trained")
    for group in list(optimizer.param_groups):
        own = [p for p in group["params"] if id(p) in heads]
        if not own:
            continue
        group["params"] = [p for p in group["params"] if id(p) not in heads]
        optimizer.add_param_group({**group, "params": own, "lr": rate})
