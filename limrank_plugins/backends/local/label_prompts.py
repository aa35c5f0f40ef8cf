"""Labels at the end of prompts: prepared, read, and turned into replies."""

from __future__ import annotations

from dataclasses import dataclass

from limrank_plugins.backends.local.forward import PromptRow, forward_passes
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import Replies, encode_to_fit, label_reply
from limrank_plugins.data import Usage
from limrank_plugins.segments import Prompt

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
    """A prompt that fits, and the labels' tokens."""

    ids: list[int]
    cut: int
    text: str
    shared: int
    labels: list[int]


def prepare(
    encoder: PromptEncoder, known: LabelTokens, prompt: Prompt, labels: tuple[str, ...], limit: int
) -> LabelPrompt:
    """Prepare a prompt.

    Raises:
        InputError: it does not fit, or a label is not one token behind it.
    """
    encoded, ids, cut = encode_to_fit(encoder, prompt, limit)
    return LabelPrompt(ids, cut, prompt.shared_text, encoded.shared, known.of(labels, encoded.end))


def read(
    network: Network, prompts: dict[int, LabelPrompt], replies: Replies, share: bool, budget: int
) -> None:
    """Add the replies; see `forward_passes` for how they are computed."""
    # Rows of one batch must ask for equally many labels.
    by_count: dict[int, list[PromptRow]] = {}
    for key, prompt in prompts.items():
        row = PromptRow(key, prompt.text, prompt.shared, prompt.ids, len(prompt.ids))
        by_count.setdefault(len(prompt.labels), []).append(row)
    for rows in by_count.values():
        for batch in forward_passes(network, rows, share, budget):
            states, _ = network.last_states(batch.prefix, [row.ids[batch.head :] for row in batch.rows])
            logits = network.label_logits(states, [prompts[row.key].labels for row in batch.rows])
            with replies.together():
                for number, (row, values) in enumerate(zip(batch.rows, logits, strict=True)):
                    usage = Usage(prompt_tokens=row.size, shared_tokens=batch.shared(number))
                    replies[row.key] = label_reply(values, usage, prompts[row.key].cut)
