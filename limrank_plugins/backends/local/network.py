"""A causal language model as a reranker needs it: a common prefix, tails behind it, single steps.

Only the last position's hidden state is kept, and of the output matrix only the rows of the labels
are multiplied where the labels are all that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

from limrank_plugins.backends.local import packed, probe
from limrank_plugins.backends.local.kv import KeysAndValues
from limrank_plugins.backends.local.written_texts import WrittenTexts
from limrank_plugins.errors import require

_LOGITS = 1 << 24
"""Logits held at a time (64 MiB) where a whole vocabulary's are needed for many positions."""


class Network:
    """A loaded model.

    Args:
        model: a causal language model of the `transformers` library, on its device, in eval mode.
        slack: how much longer than another a tail may be to be computed in one batch with it;
            0 pads nothing. On CPU padding costs what it saves (measured: batches of unequal
            documents run at 0.5 to 1.0 of the speed of one by one); a GPU wants fuller batches.
        exact: what is read (not written) is never padded and is split where the prompt itself says, so
            that the same is computed whatever else is asked, up to rounding. On CPU that costs nothing
            worth having.
        written_tokens: tokens held at most of texts that are read on from; 0 for a model that may change.

    Attributes:
        decoder: the model without its output matrix.
        label_rows: the model's logits are hidden state × output matrix, so label rows suffice.
            False for models that bend their logits (soft-capping, …): their own logits are read.
        written: the texts it has written last, as far as labels may be asked for behind them.
        shares: keys and values are all the model remembers, so a prefix can be shared and a row
            continued. False for recurrent models.
    """

    def __init__(self, model: Any, slack: float = 0.0, exact: bool = False, written_tokens: int = 0) -> None:
        self._torch = require("torch", "transformers", "TransformersBackend")
        self._model = model
        self.exact = exact
        self.written = WrittenTexts(written_tokens)
        embeddings = model.get_input_embeddings().weight
        self._device = embeddings.device
        self.decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
        self._head = model.get_output_embeddings()
        self.label_rows = probe.logits_are_rows(model, self.decoder, self._head)
        # A model's own logits can be had for one common last position only.
        self.slack = slack if self.label_rows else 0.0
        self._cache = probe.cache_argument(self.decoder if self.label_rows else model)
        self.shares = probe.remembers_keys_only(self, embeddings.shape[0])

    @cached_property
    def packs(self) -> bool:
        """Several tails can be read as one row: asked where there are several, as it takes some passes."""
        return self.exact and probe.packs_tails(self, self._model.get_input_embeddings().weight.shape[0])

    def prefix(self, ids: Sequence[int]) -> KeysAndValues:
        """Compute the common beginning of many prompts, once."""
        return self.last_states(None, [ids], keep=True)[1][0]

    def last_states(
        self, prefix: KeysAndValues | None, tails: Sequence[Sequence[int]], keep: bool = False
    ) -> tuple[Any, list[KeysAndValues]]:
        """Compute tails behind a common prefix, as one batch.

        Args:
            prefix: one row of keys and values, or None where the tails are whole prompts.
            tails: token ids, at least one each. Shorter ones are padded on the right, where no
                real token can see the padding.
            keep: also return each row's keys and values, prefix included.

        Returns:
            One state per tail, from its last position; and the rows' keys and values, or [].
        """
        if not keep and len(tails) > 1 and self.exact and self.packs:
            return self.packed_states(prefix, tails)[[end - 1 for end in accumulate(map(len, tails))]], []
        rows = _level(tails)
        past = prefix.forked(len(tails)) if prefix is not None else None
        if past is None and keep:
            past = KeysAndValues(lengths=[0] * len(tails))
        states = self._last(self._forward(rows, past), tails)
        if not keep or past is None:
            return states, []
        head = past.lengths[0]
        return states, [past.row(i, head + len(tail)) for i, tail in enumerate(tails)]

    def final_states(
        self, prefix: KeysAndValues | None, tails: Sequence[Sequence[int]], counts: Sequence[int]
    ) -> list[Any]:
        """As `last_states`, but of each tail the states of its last `count` positions."""
        if len(tails) > 1 and self.exact and self.packs:
            states = self.packed_states(prefix, tails)
            stops = accumulate(map(len, tails))
            return [states[stop - count : stop] for stop, count in zip(stops, counts, strict=True)]
        rows = _level(tails)
        out = self._forward(rows, prefix.forked(len(tails)) if prefix is not None else None, last=max(counts))
        # A model's own logits come for the last positions alone, and rows are then of one length.
        ends = [len(tail) + out.shape[1] - len(rows[0]) for tail in tails]
        return [out[i, end - count : end] for i, (end, count) in enumerate(zip(ends, counts, strict=True))]

    def packed_states(self, prefix: KeysAndValues | None, tails: Sequence[Sequence[int]]) -> Any:
        """The states of all positions of the tails, one behind the other, computed as one row."""
        head = prefix.width if prefix is not None else 0
        positions = [head + place for tail in tails for place in range(len(tail))]
        past = prefix.forked(1) if prefix is not None else None
        row = [token for tail in tails for token in tail]
        with packed.packing(self.decoder, [len(tail) for tail in tails]):
            return self._forward([row], past, positions=self._torch.tensor([positions], device=self._device))[
                0
            ]

    def extend(self, past: KeysAndValues, ids: Sequence[int]) -> None:
        """Append tokens to the one row of `past`, which grows."""
        self._forward([list(ids)], past)
        past.grow([len(ids)])

    def step(self, past: KeysAndValues, tokens: Sequence[int]) -> Any:
        """Append one token to every row of `past`, which grows, and return the states there."""
        past.make_room()
        states = self.append(past, [[token] for token in tokens])
        past.grow([1] * len(tokens))
        return states

    def append(self, past: KeysAndValues, tails: Sequence[Sequence[int]]) -> Any:
        """Put a tail behind every row of `past`, which cannot be used again, and return the last states."""
        rows = _level(tails)
        mask = positions = None
        if any(past.pads):
            columns = self._torch.arange(past.width + len(rows[0]), device=self._device)
            mask = columns >= self._torch.tensor(past.pads, device=self._device)[:, None]
            positions = (
                columns[: len(rows[0])] + self._torch.tensor(past.lengths, device=self._device)[:, None]
            )
        return self._last(self._forward(rows, past, mask, positions), tails)

    def label_logits(self, states: Any, ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each state the logits of its own token ids, in float32."""
        index = self._torch.tensor(ids, device=self._device)
        if self.label_rows:
            chosen = self._torch.einsum("nd,nld->nl", states.float(), self._head.weight[index].float())
            if getattr(self._head, "bias", None) is not None:
                chosen = chosen + self._head.bias[index].float()
        else:
            chosen = states.float().gather(1, index)
        logits: list[list[float]] = chosen.tolist()
        return logits

    def vocabulary_logits(self, states: Any) -> Any:
        """For each state the logits of all tokens, in float32."""
        return (self._head(states) if self.label_rows else states).float()

    def log_probabilities(self, states: Any, ids: Sequence[int]) -> list[float]:
        """For each state the log-probability of its own token, in float32.

        The vocabulary's logits are there for some states at a time only.
        """
        index = self._torch.tensor(list(ids), device=self._device)
        size = max(1, _LOGITS // self._model.get_input_embeddings().weight.shape[0])
        values: list[float] = []
        for start in range(0, len(ids), size):
            logits = self.vocabulary_logits(states[start : start + size])
            chosen = logits.gather(1, index[start : start + size, None])[:, 0]
            values += (chosen - logits.logsumexp(dim=-1)).tolist()
        return values

    def _last(self, out: Any, tails: Sequence[Sequence[int]]) -> Any:
        """Of what was computed for levelled tails: what stands at each tail's own end."""
        index = self._torch.tensor([len(tail) - 1 for tail in tails], device=self._device)
        # A model's own logits come for the last position alone.
        last = index if self.label_rows else self._torch.zeros_like(index)
        return out[self._torch.arange(len(tails), device=self._device), last]

    def _forward(
        self,
        rows: list[list[int]],
        past: KeysAndValues | None,
        mask: Any = None,
        positions: Any = None,
        last: int = 1,
    ) -> Any:
        arguments: dict[str, Any] = {
            "input_ids": self._torch.tensor(rows, device=self._device),
            self._cache: past.cache if past is not None else None,
            "use_cache": past is not None,
        }
        if mask is not None:
            arguments["attention_mask"] = mask.long()
        if positions is not None:
            arguments["position_ids"] = positions
        with self._torch.inference_mode():
            if self.label_rows:
                return self.decoder(**arguments).last_hidden_state
            return self._model(**arguments, logits_to_keep=last).logits


def _level(tails: Sequence[Sequence[int]]) -> list[list[int]]:
    """All as long as the longest: repeated last tokens on the right, where no real token sees them."""
    longest = max(map(len, tails))
    return [[*tail, *([tail[-1]] * (longest - len(tail)))] for tail in tails]
