"""Many completions at once: each is a sequence of llama.cpp's memory, and all go on token by token."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limrank_plugins.backends.llama_cpp.engine import LlamaModel, Logits, Reading
from limrank_plugins.backends.llama_cpp.llama_vocabulary import LlamaVocabulary
from limrank_plugins.backends.llama_cpp.memory import Begun, Memory
from limrank_plugins.backends.llama_cpp.order_grammar import order_characters, order_grammar, order_in
from limrank_plugins.backends.local.continuous_batch import Draft
from limrank_plugins.backends.local.prompt_batches import Group
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import Generated, Reply, WrittenOrder

_ROWS = 16
"""Texts written at a time."""


@dataclass(frozen=True, slots=True)
class _Row:
    draft: Draft
    begun: Begun


class Writing:
    """Finishes drafts.

    Args:
        model: the model.
        memory: its memory.
        vocabulary: its vocabulary.
        encoder: its tokenizer.
        holds_orders: let nothing but an order be written where one is asked for.
    """

    def __init__(
        self,
        model: LlamaModel,
        memory: Memory,
        vocabulary: LlamaVocabulary,
        encoder: PromptEncoder,
        *,
        holds_orders: bool,
    ) -> None:
        self._model, self._memory, self._vocabulary = model, memory, vocabulary
        self._encoder, self._holds_orders = encoder, holds_orders
        self._candidates: dict[frozenset[str], npt.NDArray[np.int32]] = {}

    def finished(self, groups: Sequence[Group[Draft]]) -> Iterator[tuple[Draft, Reply]]:
        """Write until every draft of every group has its reply; each comes as it is done."""
        waiting = deque((group.prefix, draft) for group in groups for draft in group.rows)
        rows: list[_Row] = []
        try:
            while waiting or rows:
                while (
                    waiting and len(rows) < _ROWS and self._memory.fits(waiting[0][0], _size(waiting[0][1]))
                ):
                    rows += self._begin(waiting, _ROWS - len(rows))
                yield from self._leave(rows)
                if rows:
                    self._step(rows)
                    yield from self._leave(rows)
        finally:
            for row in rows:
                self._memory.end(row.begun)

    def _has_room(self, prefix: list[int], draft: Draft) -> bool:
        return self._memory.fits(prefix, _size(draft))

    def _begin(self, waiting: deque[tuple[list[int], Draft]], most: int) -> list[_Row]:
        """Read the next prompt; several samples of it share all of it."""
        prefix, draft = waiting.popleft()
        begun = self._memory.begin(prefix, draft.ids, _size(draft))
        rows = [_Row(draft, begun)]
        draft.shared = begun.shared
        try:
            self._model.read(
                [Reading(begun.sequence, begun.start, draft.ids[begun.start :])],
                lambda _, __, logits: self._first(rows, waiting, most, logits),
            )
        except BaseException:  # whoever listens may end the writing
            for row in rows:
                self._memory.end(row.begun)
            raise
        return rows

    def _first(
        self, rows: list[_Row], waiting: deque[tuple[list[int], Draft]], most: int, logits: Logits
    ) -> None:
        draft, begun = rows[0].draft, rows[0].begun
        while waiting and waiting[0][1].ids == draft.ids and len(rows) < most:
            if not self._has_room(*waiting[0]):
                break
            _, twin = waiting.popleft()
            twin.shared = len(twin.ids)
            rows.append(_Row(twin, self._memory.twin(begun, len(twin.ids), _size(twin))))
        for row in rows:
            self._advance(row.draft, logits)

    def _step(self, rows: Sequence[_Row]) -> None:
        """One token more for each."""
        readings = [
            Reading(row.begun.sequence, _size_now(row.draft) - 1, row.draft.written[-1:]) for row in rows
        ]
        self._model.read(readings, lambda number, _, logits: self._advance(rows[number].draft, logits))

    def _advance(self, draft: Draft, logits: Logits) -> None:
        """Give a draft what it waits for: the labels at its new position, or its next token."""
        if draft.awaits is not None:
            draft.read([float(logits[label]) for label in draft.awaits])
            return
        form, grammar = draft.request.order, self._grammar(draft)
        if form is None or not grammar:
            token = chosen(draft, logits)
        else:
            allowed = self._allowed(form, grammar)
            if not len(allowed):
                draft.fail("no token of this model's vocabulary goes on with the order it writes")
                return
            place = chosen(draft, logits[allowed])
            token = None if place is None else int(allowed[place])
        if token is None:
            draft.fail("the model's logits are not finite")
            return
        draft.append(token, self._encoder, self._vocabulary.ends)
        if draft.reply is None and draft.awaits is None and self._grammar(draft) == "":
            draft.complete(self._encoder)

    def _grammar(self, draft: Draft) -> str | None:
        """What the order it writes may go on with; None where anything may come."""
        form = draft.request.order if self._holds_orders else None
        if form is None:
            return None
        written = order_in(form, self._encoder.decode(draft.written))
        return None if written is None else order_grammar(form, written)

    def _allowed(self, form: WrittenOrder, grammar: str) -> npt.NDArray[np.int32]:
        characters = order_characters(form)
        candidates = self._candidates.get(characters)
        if candidates is None:
            raw = frozenset("".join(characters).encode())
            pieces = enumerate(self._vocabulary.pieces)
            fitting = [number for number, piece in pieces if piece and raw.issuperset(piece)]
            normal = [number for number in fitting if number not in self._vocabulary.added]
            candidates = self._candidates[characters] = np.array(normal, dtype=np.int32)
        return self._model.allowed(grammar, candidates)

    def _leave(self, rows: list[_Row]) -> Iterator[tuple[Draft, Reply]]:
        """The replies that are there; their rows leave."""
        for row in [row for row in rows if row.draft.reply is not None]:
            rows.remove(row)
            reply, draft = row.draft.reply, row.draft
            cut_off = isinstance(reply, Generated) and reply.finish == "length"
            self._memory.end(row.begun, [*draft.ids, *draft.written[:-1]] if cut_off else None)
            if reply is not None:
                yield draft, reply


def chosen(draft: Draft, logits: Logits) -> int | None:
    """The next token of a draft; None where the logits are not finite.

    As in `continuous_batch`: the random number falls on the nucleus's cumulated probabilities in the order
    of token ids.
    """
    best = int(logits.argmax())
    if not np.isfinite(logits[best]):
        return None
    request = draft.request
    if request.temperature <= 0:
        return best
    scaled = logits.astype(np.float64) / request.temperature
    chances = np.exp(scaled - scaled.max())
    chances /= chances.sum()
    order = np.argsort(-chances, kind="stable")
    ordered = chances[order]
    outside = order[ordered.cumsum() - ordered >= request.top_p]
    chances[outside[outside != order[0]]] = 0.0
    cumulated = chances.cumsum()
    token = int(np.searchsorted(cumulated, draft.uniform() * cumulated[-1], side="right"))
    return min(token, int(np.flatnonzero(chances)[-1]))


def _size(draft: Draft) -> int:
    return len(draft.ids) + draft.budget


def _size_now(draft: Draft) -> int:
    return len(draft.ids) + len(draft.written)
