"""Which rows go through the model together, behind which prefix: what every kind of reading shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from limrank_plugins.backends.local.kv import KeysAndValues
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.prompt_batches import Group, grouped, in_batches, in_packs, split


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt to be read.

    Attributes:
        key: the position of its request.
        text: what it shares with others, as text.
        shared: how many of its first tokens hold nothing but that.
        ids: the tokens that may be split: the last of them and all behind it are computed for this row.
        size: tokens computed in all; at least as many as `ids`.
    """

    key: int
    text: str
    shared: int
    ids: list[int]
    size: int


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """Rows of one forward pass.

    Attributes:
        prefix: keys and values before them, or None.
        head: how many tokens these are.
        rows: the rows.
        paid: rows of the same prefix that were computed before; the very first one pays for it.
    """

    prefix: KeysAndValues | None
    head: int
    rows: list[PromptRow]
    paid: int

    def shared(self, number: int) -> int:
        """Prompt tokens that were not computed for the pass's row of this number."""
        return self.head if self.paid + number else 0


def forward_passes(
    network: Network, rows: Sequence[PromptRow], share: bool, budget: int
) -> Iterator[ForwardPass]:
    """Go through the rows, prefix by prefix; see `in_batches` for the budget."""
    if network.exact:
        groups = split((row.shared if share else 0, row.ids, row) for row in rows)
    else:
        groups = grouped([(row.text, row.ids, row) for row in rows], share)
    for group in groups:
        head = len(group.prefix)
        prefix = network.prefix(group.prefix) if head else None
        paid = 0
        for batch in _batches(network, group, budget):
            yield ForwardPass(prefix, head, batch, paid)
            paid += len(batch)


def _batches(network: Network, group: Group[PromptRow], budget: int) -> list[list[PromptRow]]:
    lengths = [row.size - len(group.prefix) for row in group.rows]
    if not network.exact:
        batches = in_batches(lengths, len(group.prefix), budget, network.slack)
    elif len(lengths) > 1 and network.packs:
        batches = in_packs(lengths, budget)
    else:
        batches = [[i] for i in range(len(lengths))]
    return [[group.rows[i] for i in batch] for batch in batches]
