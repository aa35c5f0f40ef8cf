"""Examples as tensors: padded side by side, packed one behind the other, or in repeated batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limrank_plugins.errors import InputError, require
from limrank_training.data.passage_layout import Example
from limrank_training.losses.next_token import IGNORED

_OPEN = 64
"""Rows that are still being filled; looking at more would cost more than it saves."""


def collate(examples: Sequence[Example], pad: int, *, packed: bool = False) -> dict[str, Any]:
    """Examples as one batch.

    Args:
        examples: at least one.
        pad: the token that fills shorter rows on the right; never learned, never seen.
        packed: all in one row, one behind the other, positions beginning anew with each: attention by
            positions keeps them apart.

    Returns:
        `input_ids`, `labels`, `position_ids`, without packing also `attention_mask`, and `rows`: where
        each example stands in its file.
    """
    torch = require("torch", "training", "training")
    labels = [[*[IGNORED] * e.learned, *e.ids[e.learned :]] for e in examples]
    rows = [e.where for e in examples]
    if packed:
        # The first token of an example would be learned from the last one of another.
        flat = [token for e in examples for token in e.ids]
        wanted = [token for row in labels for token in row]
        positions = [i for e in examples for i in range(len(e.ids))]
        columns = {"input_ids": [flat], "labels": [wanted], "position_ids": [positions]}
        return {name: torch.tensor(values) for name, values in columns.items()} | {"rows": rows}
    longest = max(len(e.ids) for e in examples)

    def filled(row: Sequence[int], value: int) -> list[int]:
        return [*row, *[value] * (longest - len(row))]

    return {
        "input_ids": torch.tensor([filled(e.ids, pad) for e in examples]),
        "labels": torch.tensor([filled(row, IGNORED) for row in labels]),
        "position_ids": torch.tensor([filled(range(len(e.ids)), 0) for e in examples]),
        "attention_mask": torch.tensor([filled([1] * len(e.ids), 0) for e in examples]),
        "rows": rows,
    }


def packs(examples: Sequence[Example], cutoff: int) -> list[list[Example]]:
    """Examples joined to rows of at most `cutoff` tokens, each put where it first fits."""
    rows: list[list[Example]] = []
    room: dict[int, int] = {}
    for example in examples:
        length = len(example.ids)
        place = next((i for i, free in room.items() if free >= length), None)
        if place is None:
            place = len(rows)
            rows.append([])
            room[place] = cutoff
            if len(room) > _OPEN:
                room.pop(min(room, key=lambda i: room[i]))
        rows[place].append(example)
        if place in room:
            room[place] -= length
    return rows


def repeated_batches(size: int, batch: int, repeats: int, seed: int) -> Any:
    """A sampler that yields every batch so many times in a row, in another order in each epoch.

    Examples that fill no batch are left out of an epoch, others in each.

    Args:
        size: examples.
        batch: examples of a step, over all parts and processes.
        repeats: how many times.
        seed: of the order.

    Raises:
        InputError: fewer examples than a batch.
    """
    if size < batch:
        raise InputError(f"a step needs {batch} examples, but there are {size}: lower the batch")
    torch = require("torch", "training", "training")

    class RepeatedBatches(torch.utils.data.Sampler):  # type: ignore[misc, name-defined]  # the library is not typed here
        """See `repeated_batches`."""

        def __init__(self) -> None:
            self.epoch = 0

        def __len__(self) -> int:
            return size // batch * batch * repeats

        def set_epoch(self, epoch: int) -> None:
            """Called by the trainer before each epoch."""
            self.epoch = epoch

        def __iter__(self) -> Any:
            generator = torch.Generator().manual_seed(seed + self.epoch)
            order = torch.randperm(size, generator=generator).tolist()
            for start in range(0, size - batch + 1, batch):
                for _ in range(repeats):
                    yield from order[start : start + batch]

    return RepeatedBatches()
