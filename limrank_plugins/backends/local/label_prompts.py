"""Labels at the end of prompts: prepared, read, and turned into replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.local.forward import PromptRow, forward_passes
from limrank_plugins.backends.local.kv import KeysAndValues, joined
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.prompt_batches import in_batches
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import Replies, encode_to_fit, label_reply
from limrank_plugins.backends.protocols import ReadLabels
from limrank_plugins.data import Usage

_KNOWN = 1024


class LabelTokens:
    """The tokens of labels, remembered. Safe to use from many threads."""

    def __init__(self, encoder: PromptEncoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[tuple[str, ...], str], list[int]] = {}

    def of(self, labels: tuple[str, ...], after: str) -> list[int]:
        """The one token each label is when it follows the text `after`.

        Raises:
            InputError: a label is not one token there, or two labels are the same token.
        """
        key = labels, after
        tokens = self._known.get(key)
        if tokens is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            tokens = self._known[key] = self._encoder.label_ids(labels, after)
        return tokens


@dataclass(frozen=True, slots=True)
class LabelPrompt:
    """A prompt that fits, and the labels' tokens; see `PromptRow`."""

    ids: list[int]
    cut: int
    text: str
    shared: int
    labels: list[int]
    begun: int


def prepare(encoder: PromptEncoder, known: LabelTokens, request: ReadLabels, limit: int) -> LabelPrompt:
    """Prepare a request's prompt.

    Raises:
        InputError: it does not fit, or a label is not one token behind it.
    """
    encoded, ids, cut = encode_to_fit(encoder, request.prompt, limit)
    tokens = known.of(request.labels, encoded.end)
    # Of two passages the first stands first in other comparisons, too.
    begun = encoded.cuttable[0][1] if len(encoded.cuttable) == 2 and not cut else 0
    return LabelPrompt(ids, cut, request.prompt.shared_text, encoded.shared, tokens, begun)


def read(
    network: Network, prompts: dict[int, LabelPrompt], replies: Replies, share: bool, budget: int
) -> None:
    """Add the replies; see `forward_passes` for how they are computed.

    What the model has just written is gone on from, up to rounding with the same result.
    """
    # Rows of one batch must ask for equally many labels.
    by_count: dict[int, dict[int, LabelPrompt]] = {}
    for key, prompt in prompts.items():
        by_count.setdefault(len(prompt.labels), {})[key] = prompt
    for counted in by_count.values():
        pasts = {key: past for key, prompt in counted.items() if (past := network.written.take(prompt.ids))}
        _read_on(network, {key: (counted[key], past) for key, past in pasts.items()}, replies, budget)
        rows = [
            PromptRow(key, prompt.text, prompt.shared, prompt.ids, len(prompt.ids), prompt.begun)
            for key, prompt in counted.items()
            if key not in pasts
        ]
        for batch in forward_passes(network, rows, share, budget):
            states, _ = network.last_states(batch.prefix, [row.ids[batch.head :] for row in batch.rows])
            shared = {row.key: batch.shared(number) for number, row in enumerate(batch.rows)}
            _reply(network, states, prompts, shared, replies)


def _read_on(
    network: Network, written: dict[int, tuple[LabelPrompt, KeysAndValues]], replies: Replies, budget: int
) -> None:
    """Read what follows on texts whose keys and values are there."""
    keys = list(written)
    tails = [prompt.ids[past.width :] for prompt, past in written.values()]
    longest = max((past.width for _, past in written.values()), default=0)
    slack = 1.0 if network.label_rows else 0.0
    for batch in in_batches([len(tail) for tail in tails], longest, budget, slack):
        batched = {keys[i]: written[keys[i]] for i in batch}
        shared = {key: past.width for key, (_, past) in batched.items()}
        states = network.append(joined([past for _, past in batched.values()]), [tails[i] for i in batch])
        _reply(network, states, {key: prompt for key, (prompt, _) in batched.items()}, shared, replies)


def _reply(
    network: Network, states: Any, prompts: dict[int, LabelPrompt], shared: dict[int, int], replies: Replies
) -> None:
    """Reply to the requests of `shared`, which says how many tokens of each were not computed for it."""
    logits = network.label_logits(states, [prompts[key].labels for key in shared])
    with replies.together():
        for (key, known), values in zip(shared.items(), logits, strict=True):
            usage = Usage(prompt_tokens=len(prompts[key].ids), shared_tokens=known)
            replies[key] = label_reply(values, usage, prompts[key].cut)
