"""What our trainers do otherwise than the library's: two learning rates, and several steps on one batch."""

from __future__ import annotations

from typing import Any

from limrank_plugins.errors import InputError, require

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


def batches_again(size: int, batch: int, again: int, seed: int) -> Any:
    """A sampler that yields every batch so many times in a row, in another order in each epoch.

    Examples that fill no batch are left out of an epoch, others in each.

    Args:
        size: examples.
        batch: examples of a step, over all parts and processes.
        again: how many times.
        seed: of the order.

    Raises:
        InputError: fewer examples than a batch.
    """
    if size < batch:
        raise InputError(f"a step needs {batch} examples, but there are {size}: lower the batch")
    torch = require("torch", "training", "training")

    class RepeatedBatches(torch.utils.data.Sampler):  # type: ignore[misc, name-defined]  # the library is not typed here
        """See `batches_again`."""

        def __init__(self) -> None:
            self.epoch = 0

        def __len__(self) -> int:
            return size // batch * batch * again

        def set_epoch(self, epoch: int) -> None:
            """Called by the trainer before each epoch."""
            self.epoch = epoch

        def __iter__(self) -> Any:
            numbers = torch.Generator().manual_seed(seed + self.epoch)
            order = torch.randperm(size, generator=numbers).tolist()
            for start in range(0, size - batch + 1, batch):
                for _ in range(again):
                    yield from order[start : start + batch]

    return RepeatedBatches()
