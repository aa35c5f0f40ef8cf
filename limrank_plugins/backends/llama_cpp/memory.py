"""What the model has read: the beginning that prompts share, and texts that may be gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.backends.llama_cpp.engine import SEQUENCES, LlamaModel, Reading
from limrank_plugins.backends.local.prompt_batches import WORTHWHILE, common

_PREFIX = 0
"""The sequence of the shared beginning."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A prompt whose first tokens are in memory.

    Attributes:
        sequence: where it is.
        start: how many tokens are there.
        shared: how many of them were not computed for it.
    """

    sequence: int
    start: int
    shared: int


class Memory:
    """Memory of a model, by sequence.

    A text that was written to the end of its budget is kept until its room is needed: what comes next is
    most often the same text, closed by force.

    Args:
        model: whose memory it is.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self._prefix: tuple[int, ...] = ()
        self._kept: dict[int, list[int]] = {}
        # Of each sequence, the tokens it may come to hold beyond its shared beginning, and that beginning.
        self._held: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._free = list(range(SEQUENCES - 1, _PREFIX, -1))

    def fits(self, prefix: Sequence[int], size: int) -> bool:
        """Whether there is room for a prompt of `size` tokens, what is written behind it included."""
        heads = {head for number, (_, head) in self._held.items() if number not in self._kept}
        live = sum(own for number, (own, _) in self._held.items() if number not in self._kept)
        heads |= {tuple(prefix)}
        whole = live + sum(map(len, heads)) + size - len(prefix)
        return whole <= self._model.cells and len(self._held) - len(self._kept) < SEQUENCES - 1

    def begin(self, prefix: Sequence[int], ids: Sequence[int], size: int) -> Begun:
        """Put the beginning of a prompt into a sequence.

        Args:
            prefix: its first tokens, which others share. Where a prompt is split depends on nothing but the
                prompt, so the same is computed for it whatever else is asked; only what goes on with a kept
                text is split at its end.
            ids: all of its tokens.
            size: how many it may come to have.
        """
        found = self._go_on(len(prefix), ids, size)
        if found is not None:
            return found
        self._make_room(prefix, size)
        fresh = self._read_prefix(prefix)
        number = self._free.pop()
        self._model.copy(_PREFIX, number, len(prefix))
        self._held[number] = (size - len(prefix), tuple(prefix))
        return Begun(number, len(prefix), 0 if fresh else len(prefix))

    def twin(self, of: Begun, length: int, size: int) -> Begun:
        """Another sequence that begins with the first `length` tokens of one that is there."""
        head = self._held[of.sequence][1]
        self._make_room(head, size)
        number = self._free.pop()
        self._model.copy(of.sequence, number, length)
        self._held[number] = (size - len(head), head)
        return Begun(number, length, length)

    def end(self, begun: Begun, kept: list[int] | None = None) -> None:
        """Forget a sequence; or keep these tokens that it holds for as long as there is room."""
        if kept and self._model.remembers_tokens:
            self._kept[begun.sequence] = kept
        else:
            self._forget(begun.sequence)

    # ---- inside ---------------------------------------------------------------------------------

    def _go_on(self, head: int, ids: Sequence[int], size: int) -> Begun | None:
        """The kept text that a prompt goes on with, if that is more than its shared beginning."""
        best, length = None, head + WORTHWHILE
        for number, tokens in self._kept.items():
            same = len(common([tokens, list(ids)]))
            if same > length:
                best, length = number, same
        if best is None:
            return None
        del self._kept[best]
        self._model.forget(best, length)
        of = self._held[best][1]
        self._held[best] = (size - len(of), of)
        while self._kept and self._whole() > self._model.cells:
            self._drop_oldest()
        if self._whole() > self._model.cells:  # the shared beginning is another query's
            self._drop_prefix()
        return Begun(best, length, length)

    def _make_room(self, prefix: Sequence[int], size: int) -> None:
        more = size - len(prefix)
        while self._kept and (not self._free or self._whole(tuple(prefix)) + more > self._model.cells):
            self._drop_oldest()

    def _whole(self, prefix: tuple[int, ...] = ()) -> int:
        heads = {head for _, head in self._held.values()} | {prefix or self._prefix}
        return sum(own for own, _ in self._held.values()) + sum(map(len, heads))

    def _read_prefix(self, prefix: Sequence[int]) -> bool:
        """Whether it had to be computed."""
        if self._prefix == tuple(prefix):
            return False
        self._drop_prefix()
        if prefix:
            self._model.read([Reading(_PREFIX, 0, prefix, 0)], lambda *_: None)
            self._prefix = tuple(prefix)
        return bool(prefix)

    def _drop_prefix(self) -> None:
        self._model.forget(_PREFIX)
        self._prefix = ()

    def _drop_oldest(self) -> None:
        number = next(iter(self._kept))
        del self._kept[number]
        self._forget(number)

    def _forget(self, number: int) -> None:
        self._model.forget(number)
        del self._held[number]
        self._free.append(number)
