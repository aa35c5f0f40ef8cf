"""Labels at the end of prompts: prepared, read, and turned into replies."""

from __future__ import annotations

from dataclasses import dataclass

from limrank_plugins.backends.local.asking import fitted, reading_of
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.passes import Row, passes
from limrank_plugins.backends.local.tokens import PromptEncoder
from limrank_plugins.backends.protocols import Reply
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
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            found = self._known[key] = self._encoder.label_ids(labels, after)
        return found


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt that fits, and the labels' tokens."""

    ids: list[int]
    cut: int
    text: str
    shared: int
    labels: list[int]


def question(
    encoder: PromptEncoder, known: LabelTokens, prompt: Prompt, labels: tuple[str, ...], limit: int
) -> Question:
    """Prepare a prompt.

    Raises:
        InputError: it does not fit, or a label is not one token behind it.
    """
    encoded, ids, cut = fitted(encoder, prompt, limit)
    return Question(ids, cut, prompt.shared_text, encoded.shared, known.of(labels, encoded.end))


def read(network: Network, asked: dict[int, Question], share: bool, budget: int) -> dict[int, Reply]:
    """The replies by position; see `passes` for how they are computed."""
    replies: dict[int, Reply] = {}
    # Rows of one batch must ask for equally many labels.
    by_count: dict[int, list[Row]] = {}
    for key, one in asked.items():
        row = Row(key, one.text, one.shared, one.ids, len(one.ids))
        by_count.setdefault(len(one.labels), []).append(row)
    for rows in by_count.values():
        for batch in passes(network, rows, share, budget):
            states, _ = network.last_states(batch.prefix, [row.ids[batch.head :] for row in batch.rows])
            found = network.label_logits(states, [asked[row.key].labels for row in batch.rows])
            for number, (row, logits) in enumerate(zip(batch.rows, found, strict=True)):
                usage = Usage(prompt_tokens=row.size, shared_tokens=batch.shared(number))
                replies[row.key] = reading_of(logits, usage, asked[row.key].cut)
    return replies
