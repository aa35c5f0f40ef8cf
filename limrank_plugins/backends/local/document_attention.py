"""How much attention the tail of a prompt pays to each token of its documents.

Everything before the tail goes through the model's usual attention, in pieces, into keys and values. The
tails then run behind them with eager attention, whose probabilities a hook adds up layer by layer: no
layer's are kept. Equal to one eager pass over the whole prompt (arXiv 2410.02642), without its
memory and without a changed copy of the model's code.

A layer with a sliding window may not see the first documents. It would favour the ones that it sees,
so only layers count that see all documents from all of the tail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limrank_plugins.backends.local.kv import KeysAndValues
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.packed import switched
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import EncodedPrompt, FittedPrompt, fit_documents
from limrank_plugins.backends.protocols import Attend, Attended, Failed, Reply
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, require

HELD = 1 << 25
"""Probabilities of one layer held at a time (128 MiB); a longer tail goes through in pieces."""


@dataclass(frozen=True, slots=True)
class AttentionPrompts:
    """Prompts that fit.

    Attributes:
        head: the tokens before the tails.
        tails: the tokens of each prompt's tail.
        documents: where in the head each document is, its label included.
        cut: document tokens that were left out.
    """

    head: list[int]
    tails: list[list[int]]
    documents: list[tuple[int, int]]
    cut: int


def prepare(encoder: PromptEncoder, request: Attend, limit: int) -> AttentionPrompts:
    """Prepare a request; documents are cut to the same places in all of its prompts.

    Raises:
        InputError: no prompt, no document, no tail, or prompts that differ before their tails.
    """
    if not request.prompts:
        raise InputError("attention needs at least one prompt")
    fits = _fitted([encoder.encode(prompt) for prompt in request.prompts], limit)
    if _differ(fits):
        # One prompt's tail held a marker, so it was taken apart, and its head may be other tokens then.
        fits = _fitted([encoder.encode(prompt, apart=True) for prompt in request.prompts], limit)
    if _differ(fits):
        raise InputError("the prompts must be equal up to the end of their last document")
    documents = fits[0].documents
    start = fits[0].tail
    tails = [fitted.ids[start:] for fitted in fits]
    if not all(tails):
        raise InputError("the prompt ends with a document: give it a tail, whose attention can be read")
    return AttentionPrompts(fits[0].ids[:start], tails, documents, fits[0].cut)


def _fitted(several: Sequence[EncodedPrompt], limit: int) -> list[FittedPrompt]:
    if not all(encoded.cuttable for encoded in several):
        raise InputError("the prompt holds no document, so there is nothing to pay attention to")
    fixed = [len(e.ids) - sum(stop - start for start, stop in e.cuttable) for e in several]
    # The prompt with the longest tail decides how much is left of the documents.
    return [fit_documents(e, limit - max(fixed) + own) for e, own in zip(several, fixed, strict=True)]


def _differ(fits: Sequence[FittedPrompt]) -> bool:
    start = fits[0].tail
    first = fits[0].documents, start, fits[0].ids[:start]
    return any((fitted.documents, fitted.tail, fitted.ids[:start]) != first for fitted in fits)


def read(network: Network, prompts: AttentionPrompts, chunk: int) -> Reply:
    """The reply to one request.

    Args:
        network: the model.
        prompts: what is read.
        chunk: tokens computed at a time before the tails.

    Raises:
        BackendError: the model has no attention probabilities that could be read, or none of its layers
            sees all documents.
    """
    if not network.shares:
        raise BackendError(
            "this model remembers more than keys and values, so its attention cannot be read behind "
            "documents: use a model whose layers all are attention layers"
        )
    past = KeysAndValues()
    if network.decoder.config._attn_implementation == "eager":  # its usual attention holds probabilities, too
        chunk = min(chunk, _piece(network, len(prompts.head)))
    for start in range(0, len(prompts.head), chunk):
        network.extend(past, prompts.head[start : start + chunk])
    first = prompts.documents[0][0]
    sums: dict[tuple[int, ...], _AttentionSum] = {}
    for tail in prompts.tails:
        if tuple(tail) not in sums:  # the same tail again is the same attention: it is looked up
            sums[tuple(tail)] = _tail_attention(network, past, tail, first)
    kept = [all(watch.whole[i] for watch in sums.values()) for i in sums[tuple(prompts.tails[0])].layers]
    if not any(kept):
        raise BackendError(
            "no layer of this model sees all documents from the end of the prompt (its sliding window is "
            "shorter): give fewer or shorter documents, or use a model with full attention"
        )
    total = len(prompts.head) * len(prompts.tails) + sum(map(len, prompts.tails))
    fresh = len(prompts.head) + sum(map(len, sums))
    usage = Usage(prompt_tokens=total, shared_tokens=total - fresh)
    weights = []
    for tail in prompts.tails:
        values = sums[tuple(tail)].total(kept)
        if not np.isfinite(values).all():
            return Failed("the attention probabilities are not finite", usage)
        weights.append(tuple(values[start - first : stop - first] for start, stop in prompts.documents))
    return Attended(tuple(weights), usage, prompts.cut)


@dataclass
class _AttentionSum:
    """Adds up the attention of one tail as its layers are computed.

    Attributes:
        columns: the keys that count: from the first document's token to the last's.
        tokens: of the tail, in all.
        layers: for each layer the sum over heads and tail tokens, shape (columns,).
        whole: for each layer whether every tail token sees every column.
        wrong: for each layer and piece whether something else than probabilities came.
    """

    columns: slice
    tokens: int
    layers: dict[int, Any] = field(default_factory=dict)
    whole: dict[int, Any] = field(default_factory=dict)
    wrong: list[Any] = field(default_factory=list)
    _piece: set[int] = field(default_factory=set)

    def begin(self) -> None:
        """The next piece of the tail."""
        self._piece.clear()

    def note(self, module: Any, _args: Any, arguments: dict[str, Any], output: Any) -> None:
        """A forward hook of an attention module; its output holds the probabilities (1, heads, q, keys)."""
        shares: Any = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        layer = module.layer_idx
        if getattr(shares, "ndim", 0) != 4 or shares.shape[-1] < self.columns.stop or layer in self._piece:
            return
        self._piece.add(layer)
        # A sink's share is nobody's, so rows may sum to less than one.
        sums = shares.sum(dim=-1, dtype=require("torch", "transformers", "TransformersBackend").float32)
        self.wrong.append((shares.min() < 0) | (sums.max() > 1.1))
        part = shares[0, :, :, self.columns].float().sum(dim=(0, 1))
        mask = arguments.get("attention_mask")
        whole = mask is None or _open(mask[..., self.columns])
        if layer in self.layers:
            part, whole = self.layers[layer] + part, whole & self.whole[layer]
        self.layers[layer], self.whole[layer] = part, whole

    def total(self, kept: Sequence[bool]) -> Any:
        """The sum over the layers that count, averaged over the tail; float32, shape (columns,)."""
        summed = sum(part for part, keep in zip(self.layers.values(), kept, strict=True) if keep)
        return (summed / self.tokens).cpu().numpy()


def _open(mask: Any) -> Any:
    """Whether a mask hides nothing: true everywhere, or nothing is added anywhere."""
    torch = require("torch", "transformers", "TransformersBackend")
    return mask.all() if mask.dtype == torch.bool else (mask == 0).all()


def _tail_attention(network: Network, past: KeysAndValues, tail: Sequence[int], first: int) -> _AttentionSum:
    watch = _AttentionSum(slice(first, past.width), len(tail))
    grown = past.forked(1)
    size = _piece(network, past.width + len(tail))
    with switched(network.decoder, "eager"), _attention_hooks(network.decoder, watch):
        for start in range(0, len(tail), size):
            watch.begin()
            network.extend(grown, tail[start : start + size])
    if not watch.layers or any(bool(wrong) for wrong in watch.wrong):
        raise BackendError(
            f"{type(network.decoder).__name__} gives no attention probabilities that could be read: use "
            f"another model"
        )
    return watch


def _piece(network: Network, keys: int) -> int:
    """Tokens computed at a time so that no more than `HELD` probabilities are there."""
    heads: int = network.decoder.config.get_text_config().num_attention_heads
    return max(1, HELD // (heads * max(1, keys)))


@contextmanager
def _attention_hooks(decoder: Any, watch: _AttentionSum) -> Iterator[None]:
    modules = [module for module in decoder.modules() if isinstance(getattr(module, "layer_idx", None), int)]
    hooks = [module.register_forward_hook(watch.note, with_kwargs=True) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
