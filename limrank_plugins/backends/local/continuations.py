"""How likely a continuation is: the log-probability of each of its tokens.

Prompt and continuation are tokenised jointly, as running text, the continuation as untrusted text that
can never become a special token. Its tokens are all those that hold a character of it: a token that
also holds the prompt's last character (a space, mostly) counts as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.backends.local.forward import PromptRow, forward_passes
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import Replies, encode_to_fit
from limrank_plugins.backends.protocols import Failed, Likelihood, Numbers, Reply
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Segment


@dataclass(frozen=True, slots=True)
class ContinuationPrompt:
    """A prompt with its continuation, and how many of the last tokens are the continuation's."""

    ids: list[int]
    count: int
    cut: int
    text: str
    shared: int


def prepare(encoder: PromptEncoder, request: Likelihood, limit: int) -> ContinuationPrompt:
    """Prepare a request; documents are cut so that prompt and continuation fit.

    Raises:
        InputError: there is no token to be likely or none before it, it does not fit, or an end is asked for.
    """
    if request.ends:  # which of a chat model's several ends would it be?
        raise InputError(
            "a decoder has no one token that ends a question: use backend='seq2seq', or a wording without it"
        )
    whole = request.prompt.then(Segment(request.continuation, trusted=False))
    encoded, ids, cut = encode_to_fit(encoder, whole, limit)
    count = len(encoded.ids) - encoded.last
    if not request.continuation or not count:
        raise InputError(f"the continuation {request.continuation!r} has no token: give at least one word")
    if count == len(ids):
        raise InputError("there is no prompt before the continuation: give at least one word")
    return ContinuationPrompt(ids, count, cut, request.prompt.shared_text, encoded.shared)


def read(
    network: Network, prompts: dict[int, ContinuationPrompt], replies: Replies, share: bool, budget: int
) -> None:
    """Add the replies; only the states that the continuation follows on meet the vocabulary."""
    # The state before the continuation is the first that is needed; the last token's says nothing.
    rows = [
        PromptRow(
            key, prompt.text, prompt.shared, prompt.ids[: len(prompt.ids) - prompt.count], len(prompt.ids) - 1
        )
        for key, prompt in prompts.items()
    ]
    for batch in forward_passes(network, rows, share, budget):
        batched = [prompts[row.key] for row in batch.rows]
        tails = [prompt.ids[batch.head : -1] for prompt in batched]
        states = network.final_states(batch.prefix, tails, [prompt.count for prompt in batched])
        with replies.together():
            for number, (row, prompt, state) in enumerate(zip(batch.rows, batched, states, strict=True)):
                values = network.log_probabilities(state, prompt.ids[len(prompt.ids) - prompt.count :])
                usage = Usage(prompt_tokens=len(prompt.ids), shared_tokens=batch.shared(number))
                replies[row.key] = numbers(values, usage, prompt.cut)


def numbers(values: Sequence[float], usage: Usage, cut: int) -> Reply:
    """The reply, or a failure where a log-probability is not a number."""
    if all(map(math.isfinite, values)):
        return Numbers(tuple(values), usage, cut)
    return Failed("the log-probabilities are not finite", usage)
