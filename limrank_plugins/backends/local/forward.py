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
        begun: how many of its first tokens other prompts may begin with, too: those of `shared` and the first
            of two passages. 0 where there is no such place.
        ids: the tokens that may be split: the last of them and all behind it are computed for this row.
        size: tokens computed in all; at least as many as `ids`.
    """

    key: int
    text: str
    shared: int
    ids: list[int]
    size: int
    begun: int = 0


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """Rows of one forward pass.

    Attributes:
        prefix: keys and values before them, or None.
        head: how many tokens these are.
        rows: the rows.
        free: of these, how many the first row does not pay for: all of them but where it is the first behind
            the prefix, or a part of it.
    """

    prefix: KeysAndValues | None
    head: int
    rows: list[PromptRow]
    free: int

    def shared(self, number: int) -> int:
        """Prompt tokens that were not computed for the pass's row of this number."""
        return self.head if number else self.free


def forward_passes(
    network: Network, rows: Sequence[PromptRow], share: bool, budget: int
) -> Iterator[ForwardPass]:
    """Go through the rows, prefix by prefix; see `in_batches` for the budget."""
    if network.exact:
        groups = split((row.shared if share else 0, row.ids, row) for row in rows)
    else:
        groups = grouped([(row.text, row.ids, row) for row in rows], share)
    for group in groups:
        prefix = network.prefix(group.prefix) if group.prefix else None
        free = 0
        for inner in _begun_alike(group) if network.exact and share else [group]:
            longer = inner.prefix[len(group.prefix) :]
            behind = network.last_states(prefix, [longer], keep=True)[1][0] if longer else prefix
            for batch in _batches(network, inner, budget):
                yield ForwardPass(behind, len(inner.prefix), batch, free)
                free = len(inner.prefix)
            free = len(group.prefix)


def _begun_alike(group: Group[PromptRow]) -> list[Group[PromptRow]]:
    """The group's rows by what more they begin with. It depends on a row alone, as in `split`."""
    head = len(group.prefix)
    inner = split((max(0, row.begun - head), row.ids[head:], row) for row in group.rows)
    return [Group(group.prefix + part.prefix, part.rows) for part in inner]


def _batches(network: Network, group: Group[PromptRow], budget: int) -> list[list[PromptRow]]:
    lengths = [row.size - len(group.prefix) for row in group.rows]
    if not network.exact:
        batches = in_batches(lengths, len(group.prefix), budget, network.slack)
    elif len(lengths) > 1 and network.packs:
        batches = in_packs(lengths, budget)
    else:
        batches = [[i] for i in range(len(lengths))]
    return [[group.rows[i] for i in batch] for batch in batches]
