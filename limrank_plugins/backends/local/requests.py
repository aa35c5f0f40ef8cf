"""Requests to a model on this machine: each is prepared, cut to fit, and gets its reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import EncodedPrompt, fit_documents
from limrank_plugins.backends.protocols import Arrived, Failed, LabelReading, Reply
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.images import ImageError
from limrank_plugins.segments import Prompt

R = TypeVar("R")
P = TypeVar("P")


class Replies(dict[int, Reply]):
    """Replies by the position of their request.

    Args:
        arrived: called with each as it is put in; None: nobody is.
    """

    def __init__(self, arrived: Arrived | None = None) -> None:
        super().__init__()
        self._arrived = arrived

    def __setitem__(self, position: int, reply: Reply) -> None:
        super().__setitem__(position, reply)
        if self._arrived is not None:
            self._arrived(position, reply)

    def together(self) -> AbstractContextManager[None]:
        """What is put in inside the block is there at once, as after one pass over several requests.

        Whoever is told may then keep all of it in one step; see `reply_store.Keeper`.
        """
        together: Callable[[], AbstractContextManager[None]] = getattr(self._arrived, "together", nullcontext)
        return together()

    def in_order(self) -> list[Reply]:
        """All of them, in the order of the requests."""
        return [self[position] for position in range(len(self))]


def prepare_each(
    requests: Sequence[R], prepare: Callable[[R], P], arrived: Arrived | None
) -> tuple[dict[int, P], Replies]:
    """Prepare each request. One that cannot be asked fails alone; if none can, that is raised.

    An image that cannot be shown says nothing about other requests, so it is never raised.

    Raises:
        LimRankError: why the last one cannot be asked, if none can.
    """
    prepared: dict[int, P] = {}
    replies = Replies(arrived)
    damaged = False
    for i, request in enumerate(requests):
        try:
            prepared[i] = prepare(request)
        except LimRankError as error:
            damaged |= isinstance(error, ImageError)
            if len(replies) == len(requests) - 1 and not damaged:
                raise
            replies[i] = Failed(str(error))
    return prepared, replies


def encode_to_fit(encoder: PromptEncoder, prompt: Prompt, limit: int) -> tuple[EncodedPrompt, list[int], int]:
    """The prompt's encoding, its ids cut to fit, and how many tokens were cut.

    Raises:
        InputError: it is empty, or does not fit without any document text.
    """
    encoded = encoder.encode(prompt)
    fits = fit_documents(encoded, limit)
    if not fits.ids:
        raise InputError("the prompt is empty: give at least one word")
    return encoded, fits.ids, fits.cut


def label_reply(logits: Sequence[float], usage: Usage, cut: int) -> Reply:
    """The labels' logits as a reply; `Failed` where one is not finite."""
    if all(value - value == 0 for value in logits):  # neither NaN nor infinite
        return LabelReading(tuple(logits), usage, cut)
    return Failed(f"the label logits are not finite: {list(logits)}", usage)


def checked_length(max_length: int | None, context: int | None) -> int:
    """Tokens of a prompt and its completion: what the caller wants, or the model's context.

    Raises:
        InputError: it is longer than the context, no whole number > 1, or neither is known.
    """
    if max_length is None:
        if context is None:
            raise InputError("neither model nor tokenizer says how long a prompt may be: give max_length")
        return context
    limit = context if context is not None else 1 << 30
    if isinstance(max_length, bool) or not isinstance(max_length, int) or not 1 < max_length <= limit:
        raise InputError(
            f"max_length must be from 2 to the model's context of {limit}, but got {max_length!r}"
        )
    return max_length


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens by which the model ends a completion; chat models have several."""
    own = getattr(model.generation_config, "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    return frozenset(end for end in ends if end is not None)
