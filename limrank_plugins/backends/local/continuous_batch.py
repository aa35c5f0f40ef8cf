"""Many completions at once: a row joins the batch when there is room and leaves it once it is done."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_plugins.backends.local.kv import KeysAndValues, joined
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.prompt_batches import Group, in_batches
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.written_texts import WrittenText
from limrank_plugins.backends.protocols import Failed, Generate, Generated, LabelReading, Reply
from limrank_plugins.backends.streaming import ToldText, told_text
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError, require

_CLOSING = 16
"""Tokens kept free for closing the reasoning by force."""


@dataclass(eq=False)
class Draft:
    """A text being written.

    Attributes:
        request: what it is the reply to.
        ids: the prompt, already cut to fit.
        cut: document tokens that were cut.
        budget: tokens that may be written.
        label_ids: for each stop string, the tokens of the labels behind it.
        written: the tokens so far.
        shared: prompt tokens that were not computed for this draft.
        reply: the reply, once it is done.
    """

    request: Generate
    ids: list[int]
    cut: int
    budget: int
    label_ids: dict[str, list[int]] = field(default_factory=dict)
    written: list[int] = field(default_factory=list)
    shared: int = 0
    reply: Reply | None = None
    _stopped: tuple[str, str] | None = None
    _random: random.Random | None = None
    _told: ToldText | None = None

    def __post_init__(self) -> None:
        self._told = told_text(self.request)

    @property
    def reserve(self) -> int:
        """Positions it may come to fill."""
        return len(self.ids) + self.budget

    @property
    def awaits(self) -> list[int] | None:
        """The labels to read at the next position, if it only waits for that."""
        return self.label_ids[self._stopped[1]] if self._stopped is not None else None

    @property
    def is_unread(self) -> bool:
        """Whether it is done, but the labels behind it were not read."""
        return bool(self.label_ids) and isinstance(self.reply, Generated) and self.reply.reading is None

    def uniform(self) -> float:
        """The next random number in [0, 1): depends on seed, sample and prompt, never on the batch."""
        if self._random is None:
            name = json.dumps([self.request.seed, self.request.sample, self.ids]).encode("ascii")
            self._random = random.Random(hashlib.sha256(name).digest())
        return self._random.random()

    def append(self, token: int, encoder: PromptEncoder, ends: frozenset[int]) -> None:
        """Take the next token; the draft is done if `reply` is set afterwards."""
        self.written.append(token)
        stops = self.request.stop
        # Only the last few tokens can complete a stop string: each holds at least one byte of it.
        recent = max((len(stop.encode()) for stop in stops), default=0) + 8
        tail = encoder.decode(self.written[-recent:]) if stops else ""
        if any(stop in tail for stop in stops):
            text = encoder.decode(self.written)
            places = [(place, stop) for stop in stops if (place := text.find(stop)) != -1]
            if places:
                place, stop = min(places)
                if self.label_ids and place + len(stop) == len(text):
                    self._stopped = (text[:place], stop)
                else:
                    self._done(text[:place], "stop")
                return
        if token in ends:
            self._done(encoder.decode(self.written[:-1]), "end")
        elif len(self.written) == self.budget:
            self._done(encoder.decode(self.written), "length")
        elif self._told is not None:
            self._told.grown(encoder.decode(self.written))

    def read(self, logits: Sequence[float]) -> None:
        """Take the labels' logits behind the stop string."""
        if self._stopped is not None:
            if all(map(math.isfinite, logits)):
                self._done(self._stopped[0], "stop", LabelReading(tuple(logits), cut_tokens=self.cut))
            else:
                self.fail(f"the label logits are not finite: {list(logits)}")

    def complete(self, encoder: PromptEncoder) -> None:
        """Take what is written as all there is."""
        self._done(encoder.decode(self.written), "end")

    def fail(self, reason: str) -> None:
        """Give up this draft alone."""
        self.reply = Failed(reason, self._usage)

    def _done(self, text: str, finish: str, reading: LabelReading | None = None) -> None:
        if self._told is not None:
            self._told.ended(text)
        self.reply = Generated(text, finish, reading, self._usage, self.cut)

    @property
    def _usage(self) -> Usage:
        return Usage(
            prompt_tokens=len(self.ids), shared_tokens=self.shared, generated_tokens=len(self.written)
        )


def budget_and_room(request: Generate, length: int) -> tuple[int, int]:
    """Tokens that may be written, at most half of the context, and tokens that the prompt may have.

    A few are kept free, so that reasoning closed by force still fits behind the same document text.

    Raises:
        InputError: nothing may be written.
    """
    if request.max_tokens < 1:
        raise InputError(f"max_tokens must be > 0, but got {request.max_tokens}")
    budget = min(request.max_tokens, max(1, length // 2))
    return budget, length - budget - min(_CLOSING, length // 8)


class ContinuousBatch:
    """Finishes drafts.

    Args:
        network: the model.
        encoder: its tokenizer.
        ends: tokens by which the model ends a completion.
        batch_tokens: prompt tokens computed at a time.
        cache_tokens: rows × (prompt + budget) held at a time; one row is always allowed.
        max_rows: rows written at a time.
    """

    def __init__(
        self,
        network: Network,
        encoder: PromptEncoder,
        ends: frozenset[int],
        *,
        batch_tokens: int,
        cache_tokens: int,
        max_rows: int,
    ) -> None:
        self._net = network
        self._encoder = encoder
        self._ends = ends
        self._batch_tokens = batch_tokens
        self._cache_tokens = cache_tokens
        self._max_rows = max_rows

    def finished(self, groups: Sequence[Group[Draft]]) -> Iterator[tuple[Draft, Reply]]:
        """Write until every draft of every group has its reply; each comes as it leaves the batch."""
        self._net.written.give_way(0)
        waiting = deque((group, draft) for group in groups for draft in group.rows)
        prefixes: dict[int, KeysAndValues] = {}
        rows: list[Draft] = []
        past: KeysAndValues | None = None
        while waiting or rows:
            size = self._admissible(rows, [draft for _, draft in waiting])
            # Joining copies the whole cache, so newcomers come in parties, not one by one.
            if size and (size == len(waiting) or 4 * size >= len(rows)):
                party = [waiting.popleft() for _ in range(size)]
                longest = max(draft.reserve for draft in [*rows, *(draft for _, draft in party)])
                self._net.written.give_way(self._cache_tokens - longest * (len(rows) + size))
                parts = [] if past is None else [past]
                for group in dict.fromkeys(group for group, _ in party):
                    drafts = [draft for of, draft in party if of is group]
                    for draft, part in self._begin(group, drafts, prefixes):
                        rows.append(draft)
                        parts.append(part)
                    yield from _done(drafts)
                for key in set(prefixes) - {id(group) for group, _ in waiting}:
                    del prefixes[key]
                past = joined(parts) if parts else None
            if past is not None:
                states = self._net.step(past, [draft.written[-1] for draft in rows])
                kept = self._advance(rows, states)
                if len(kept) < len(rows):
                    self._keep(rows, past)
                    yield from _done(rows)
                    rows = [rows[i] for i in kept]
                    past = past.kept(kept) if kept else None

    def _admissible(self, rows: Sequence[Draft], waiting: Sequence[Draft]) -> int:
        longest = max((draft.reserve for draft in rows), default=0)
        for size, draft in enumerate(waiting):
            longest = max(longest, draft.reserve)
            total = len(rows) + size + 1
            if total > 1 and (total > self._max_rows or total * longest > self._cache_tokens):
                return size
        return len(waiting)

    def _begin(
        self, group: Group[Draft], drafts: Sequence[Draft], prefixes: dict[int, KeysAndValues]
    ) -> list[tuple[Draft, KeysAndValues]]:
        """Compute the prompts and the first token; those that are not done after it, with their row."""
        head = len(group.prefix)
        fresh = head > 0 and id(group) not in prefixes
        if fresh:
            prefixes[id(group)] = self._net.prefix(group.prefix)
        same: dict[tuple[int, ...], list[Draft]] = {}
        for draft in drafts:
            same.setdefault(tuple(draft.ids), []).append(draft)
        begun: list[tuple[Draft, KeysAndValues]] = []
        tails = [list(ids[head:]) for ids in same]
        for batch in in_batches([len(t) for t in tails], head, self._batch_tokens, self._net.slack):
            states, parts = self._net.last_states(
                prefixes.get(id(group)), [tails[i] for i in batch], keep=True
            )
            for row, i in enumerate(batch):
                # Several samples of one prompt share all of it.
                twins = list(same.values())[i]
                for draft in twins:
                    first = draft is twins[0]
                    draft.shared = (0 if fresh else head) if first else len(draft.ids)
                    fresh = fresh and not first
                kept = self._advance(twins, states[row : row + 1].expand(len(twins), -1))
                self._keep(twins, parts[row].forked(len(twins)))
                begun += [(twins[k], parts[row].forked(1)) for k in kept]
        return begun

    def _advance(self, drafts: Sequence[Draft], states: Any) -> list[int]:
        """Give each draft what it waits for at its new position; the indices of those not done."""
        reading = [i for i, draft in enumerate(drafts) if draft.awaits is not None]
        writing = [i for i, draft in enumerate(drafts) if draft.awaits is None]
        if reading:
            wanted = [drafts[i].awaits or [] for i in reading]
            for i, logits in zip(reading, self._net.label_logits(states[reading], wanted), strict=True):
                drafts[i].read(logits)
        if writing:
            chosen = choose(self._net.vocabulary_logits(states[writing]), [drafts[i] for i in writing])
            for i, token in zip(writing, chosen, strict=True):
                if token is None:
                    drafts[i].fail("the model's logits are not finite")
                else:
                    drafts[i].append(token, self._encoder, self._ends)
        return [i for i, draft in enumerate(drafts) if draft.reply is None]

    def _keep(self, drafts: Sequence[Draft], past: KeysAndValues) -> None:
        """Remember the rows of `past` whose draft is done without the labels that were asked for."""
        for i, draft in enumerate(drafts):
            if draft.is_unread and self._net.written.most:
                ids = (draft.ids + draft.written)[: past.lengths[i]]
                self._net.written.keep(WrittenText(len(draft.ids), ids, past.kept([i])))


def _done(drafts: Sequence[Draft]) -> Iterator[tuple[Draft, Reply]]:
    return ((draft, draft.reply) for draft in drafts if draft.reply is not None)


def choose(logits: Any, drafts: Sequence[Draft]) -> list[int | None]:
    """The next token of each draft; None where the logits are not finite."""
    top, best = logits.max(dim=-1)
    chosen: list[int | None] = best.tolist()
    drawn = [i for i, draft in enumerate(drafts) if draft.request.temperature > 0]
    if drawn:
        for i, token in zip(drawn, _draw(logits[drawn], [drafts[i] for i in drawn]), strict=True):
            chosen[i] = token
    finite = top.isfinite().tolist()
    return [token if fine else None for token, fine in zip(chosen, finite, strict=True)]


def _draw(logits: Any, drafts: Sequence[Draft]) -> list[int]:
    """One token each, from the nucleus.

    The random number falls on the cumulated probabilities in the order of token ids, so that
    rounding, which differs between batches, moves no more than the borders between tokens.
    """
    torch = require("torch", "transformers", "TransformersBackend")
    precise = torch.float32 if logits.device.type == "mps" else torch.float64

    def column(values: list[float]) -> Any:
        return torch.tensor(values, dtype=precise, device=logits.device)[:, None]

    chances = torch.softmax(logits.to(precise) / column([d.request.temperature for d in drafts]), dim=-1)
    ordered, order = chances.sort(dim=-1, descending=True, stable=True)
    # The nucleus: the likeliest tokens up to the one that brings their sum to top_p.
    inside = ordered.cumsum(dim=-1) - ordered < column([d.request.top_p for d in drafts])
    inside[:, 0] = True
    chances = chances * torch.zeros_like(inside).scatter(1, order, inside)
    cumulated = chances.cumsum(dim=-1)
    marks = column([d.uniform() for d in drafts]) * cumulated[:, -1:]
    tokens: list[int] = torch.searchsorted(cumulated, marks, right=True)[:, 0].tolist()
    last = (chances > 0).to(precise).cumsum(dim=-1).argmax(dim=-1).tolist()
    return [min(token, end) for token, end in zip(tokens, last, strict=True)]
