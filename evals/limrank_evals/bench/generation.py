"""Greedy reasoning on a CPU: ours beside `generate` of `transformers`, one by one and in padded batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limrank_evals.bench.causal import PlainModel, Work, left_padded, plain_model
from limrank_evals.bench.interleaved import Contest, Way
from limrank_evals.bench.llama_server import LlamaServer, llama_server
from limrank_plugins.backends.local.continuous_batch import budget_and_room
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import end_tokens
from limrank_plugins.backends.protocols import Generate, Generated
from limrank_plugins.errors import BackendError, require
from limrank_plugins.prompts import load_template, parse_template

if TYPE_CHECKING:
    from limrank_plugins.backends.llama_cpp import LlamaCppBackend
    from limrank_plugins.backends.transformers import TransformersBackend

_WHY = "limrank bench generation"
_PAGE, _BATCH_TOKENS = 256, 8192
_SIZES = (8, 20)
"""Rows of the padded batches, beside one of all."""
_SLOTS, _SPARE = 4, 64
"""Slots of llama-server as it comes; tokens that a slot has beyond the longest prompt and text."""

_ONE_SENTENCE = """
chat = true
prompt = '''
Passage: {{ document }}

Query: {{ query }}

In one sentence: does the passage help to answer the query, and why?'''
stop = []
labels = [" yes", " no"]
"""
"""Ends by itself also where a small model would go on behind the recipe's own question."""


class Generation:
    """The contests, in float32; what comes of them differs by 0 where all tokens are equal.

    Args:
        model: folder, hub name or GGUF file of a causal language model, or `"smollm2"`.
        work: about each passage the model writes.
        most_tokens: that a text may have; the model may end it before.
        gguf: the same weights for llama.cpp, if its `llama-server` is to be measured.
        program: that server.

    Attributes:
        tokens: of each text, as ours were written last.
        ended: how many of the texts the model ended.
    """

    def __init__(
        self,
        model: str,
        work: Work,
        most_tokens: int,
        gguf: Path | None = None,
        program: Path | None = None,
    ) -> None:
        self._model, self._work, self._most_tokens = model, work, most_tokens
        self._gguf, self._program = gguf, program
        self.tokens: list[int] = []
        self.ended = 0

    def contests(self) -> Iterator[Contest]:
        """One for `generate` one by one, one for each size of its batches, and those beside llama-server."""
        with plain_model(self._model, "float32") as plain:
            if self._gguf is not None and self._program is not None:
                yield from self._beside_server(plain, self._gguf, self._program)
            else:
                yield from self._contests(plain)

    def gpu_ways(self, plain: PlainModel) -> tuple[Way, dict[str, Way], int]:
        """Our way, `generate` in one batch and `generate_batch`, which is made for GPUs; how many texts."""
        encoder, requests, rows, budget = self._asked(plain)
        peers = {
            f"transformers, generate, a padded batch of {len(rows)}": _generate(
                plain, encoder, rows, budget, len(rows)
            ),
            "transformers, generate_batch (continuous batching)": _generate_batch(
                plain, encoder, rows, budget
            ),
        }
        return self._ours(plain, requests), peers, len(rows)

    def _contests(self, plain: PlainModel) -> Iterator[Contest]:
        encoder, requests, rows, budget = self._asked(plain)
        ours = self._ours(plain, requests)
        for size in (1, *(size for size in _SIZES if size < len(rows)), len(rows)):
            name = "one by one" if size == 1 else f"padded batches of {size}"
            theirs = _generate(plain, encoder, rows, budget, size)
            yield Contest(f"transformers, generate, {name}, float32", len(rows), ours, theirs)

    def _beside_server(self, plain: PlainModel, gguf: Path, program: Path) -> Iterator[Contest]:
        """Our backend `llama-cpp` beside llama-server as it comes, and with a slot for each text."""
        backends = import_module("limrank_plugins.backends.llama_cpp")
        _, requests, rows, budget = self._asked(plain)
        threads = require("torch", "transformers", _WHY).get_num_threads()
        length = max(map(len, rows)) + budget + _SPARE
        backend = backends.LlamaCppBackend(
            str(gguf), device="cpu", threads=threads, cache_tokens=max(plain.length, len(rows) * length)
        )
        ours = self._texts_of(backend, requests)
        for slots in (_SLOTS, len(rows)):
            with llama_server(program, gguf, slots=slots, length=length, threads=threads) as server:
                name = f"llama-server, {slots} slots, {gguf.name}"
                theirs = partial(_served, server, rows, budget)
                yield Contest(name, len(rows), ours, theirs, server.clock)

    def _asked(self, plain: PlainModel) -> tuple[PromptEncoder, list[Generate], list[list[int]], int]:
        """The requests, the tokens of their prompts, and how many tokens may be written."""
        encoder = PromptEncoder(plain.tokenizer)
        chat = parse_template("one-sentence", _ONE_SENTENCE)
        template = chat if encoder.chats else load_template("limrank")
        prompts = [template.render(self._work.query, [text]) for text in self._work.passages]
        requests = [
            Generate(prompt, stop=(), max_tokens=self._most_tokens, temperature=0.0) for prompt in prompts
        ]
        budget, room = budget_and_room(requests[0], plain.length)
        return encoder, requests, plain.ids(prompts, room), budget

    def _ours(self, plain: PlainModel, requests: Sequence[Generate]) -> Callable[[], Any]:
        return self._texts_of(plain.ours(), requests)

    def _texts_of(
        self, backend: TransformersBackend | LlamaCppBackend, requests: Sequence[Generate]
    ) -> Callable[[], Any]:
        def texts() -> Any:
            replies = [reply for reply in backend.generate(requests) if isinstance(reply, Generated)]
            if len(replies) < len(requests):
                raise BackendError("the model could not write a text: name another with --model")
            self.tokens = [reply.usage.generated_tokens for reply in replies]
            self.ended = sum(reply.finish == "end" for reply in replies)
            return digests([(reply.text, reply.usage.generated_tokens) for reply in replies])

        return texts


def _served(server: LlamaServer, rows: Sequence[list[int]], most_tokens: int) -> Any:
    return digests(server.write(rows, most_tokens))


def _generate(
    plain: PlainModel, encoder: PromptEncoder, rows: Sequence[list[int]], most_tokens: int, size: int
) -> Way:
    torch = require("torch", "transformers", _WHY)
    ends, filler = end_tokens(plain.model, plain.tokenizer), _filler(plain)
    greedy = _greedy(plain, most_tokens)

    def texts() -> Any:
        written = []
        for start in range(0, len(rows), size):
            batch = left_padded(torch, rows[start : start + size], filler, plain.model.device)
            with torch.inference_mode():
                completed = plain.model.generate(**batch, generation_config=greedy)
            written += completed[:, batch["input_ids"].shape[1] :].tolist()
        return digests([_text(encoder, ids, ends) for ids in written])

    return texts


def _generate_batch(
    plain: PlainModel, encoder: PromptEncoder, rows: Sequence[list[int]], most_tokens: int
) -> Way:
    """With room for all texts at once, rather than for as many as the device's memory could hold."""
    transformers = require("transformers", "transformers", _WHY)
    ends, greedy = end_tokens(plain.model, plain.tokenizer), _greedy(plain, most_tokens)
    blocks = sum(2 + (len(row) + most_tokens) // _PAGE for row in rows)
    config = transformers.ContinuousBatchingConfig(
        page_size=_PAGE, num_blocks=blocks, max_batch_tokens=_BATCH_TOKENS, max_requests_per_batch=len(rows)
    )

    def texts() -> Any:
        outputs = plain.model.generate_batch(
            inputs=list(rows), generation_config=greedy, continuous_batching_config=config
        )
        written = [output.generated_tokens for output in outputs.values()]
        if len(written) < len(rows):
            raise BackendError(f"generate_batch wrote {len(written)} of {len(rows)} texts")
        return digests([_text(encoder, ids, ends) for ids in written])

    return texts


def _greedy(plain: PlainModel, most_tokens: int) -> Any:
    transformers = require("transformers", "transformers", _WHY)
    return transformers.GenerationConfig(
        do_sample=False,
        max_new_tokens=most_tokens,
        eos_token_id=sorted(end_tokens(plain.model, plain.tokenizer)),
        pad_token_id=_filler(plain),
    )


def _filler(plain: PlainModel) -> int:
    pad = plain.tokenizer.pad_token_id
    return 0 if pad is None else int(pad)


def _text(encoder: PromptEncoder, ids: Sequence[int], ends: frozenset[int]) -> tuple[str, int]:
    """What was written before the first end, and the number of tokens with that end."""
    last = next((place for place, token in enumerate(ids) if token in ends), None)
    return (encoder.decode(ids[:last]), len(ids) if last is None else last + 1)


def digests(texts: Sequence[tuple[str, int]]) -> Any:
    """Numbers that are equal only where texts and their counts of tokens are."""
    parts = [hashlib.sha256(text.encode("utf-8", "replace")).digest()[:6] for text, _ in texts]
    return np.asarray([[int.from_bytes(part, "big") for part in parts], [count for _, count in texts]], float)
