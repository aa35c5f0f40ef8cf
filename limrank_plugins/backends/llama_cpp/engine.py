"""A model in llama.cpp: tokens of several sequences are read into one memory, and logits come out.

Written against the functions of llama.h that llama-cpp-python passes on; its own class `Llama` reads one
sequence at a time.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limrank_plugins.backends.llama_cpp.llama_loading import load_model, quiet, why
from limrank_plugins.errors import BackendError

Logits = npt.NDArray[np.float32]
"""Of every token of the vocabulary. They are good until the next pass."""

CACHE_TYPES = {"float32": 0, "float16": 1, "q8_0": 8}
"""How keys and values are held, as `ggml_type` numbers them."""

SEQUENCES = 64
"""Sequences that memory tells apart."""

_PASS = 512
"""Tokens computed at a time."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens to be read.

    Attributes:
        sequence: where they belong.
        start: the position of the first.
        tokens: what is read.
        wanted: behind how many of the last tokens the logits are asked for.
    """

    sequence: int
    start: int
    tokens: Sequence[int]
    wanted: int = 1


class LlamaModel:
    """A loaded model with its memory. Not safe for several threads at once.

    Args:
        llama: the module `llama_cpp`.
        file: a GGUF file.
        cells: tokens of all sequences that memory holds together.
        threads: that compute.
        cache_type: one of `CACHE_TYPES`.
        gpu_layers: layers on a GPU; -1 for all.

    Attributes:
        cells: as above.
        remembers_tokens: what it remembers is tokens, each for itself, so a sequence can be cut back.

    Raises:
        BackendError: llama.cpp cannot load it, or has no room for it.
    """

    def __init__(
        self, llama: Any, file: Path, *, cells: int, threads: int, cache_type: str, gpu_layers: int
    ) -> None:
        self._llama, self.cells, self._file = llama, cells, file
        model = load_model(llama, file, n_gpu_layers=gpu_layers)
        weakref.finalize(self, llama.llama_model_free, model)
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = cells, _PASS, _PASS
        params.n_seq_max, params.kv_unified, params.swa_full = SEQUENCES, True, True
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = CACHE_TYPES[cache_type]
        # "Flash attention" computes in 16 bits, whatever the cache holds. It skips other sequences' tokens.
        params.flash_attn_type = int(cache_type != "float32")
        params.offload_kqv, params.no_perf = gpu_layers != 0, True
        with quiet(llama) as said:
            self._context = llama.llama_init_from_model(model, params)
        if not self._context:
            raise BackendError(f"llama.cpp has no room for {cells:,} tokens of {file}{why(said)}")
        weakref.finalize(self, llama.llama_free, self._context)  # finalizers run last in, first out
        self._vocab = llama.llama_model_get_vocab(model)
        self._size = llama.llama_vocab_n_tokens(self._vocab)
        # What a recurrent layer remembers cannot be cut back to an earlier token.
        self.remembers_tokens = not (
            llama.llama_model_is_recurrent(model) or llama.llama_model_is_hybrid(model)
        )
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(_PASS, 0, 1)
        weakref.finalize(self, llama.llama_batch_free, self._batch)

    def read(self, readings: Sequence[Reading], take: Callable[[int, int, Logits], None]) -> None:
        """Read tokens, all of them in as few passes as fit.

        Args:
            readings: what is read; of one sequence in order.
            take: called with the number of the reading, that of the token in it, and the logits behind it.

        Raises:
            BackendError: llama.cpp fails.
        """
        rows = [
            (number, place, token)
            for number, reading in enumerate(readings)
            for place, token in enumerate(reading.tokens)
        ]
        for begin in range(0, len(rows), _PASS):
            part = rows[begin : begin + _PASS]
            batch, asked = self._batch, []
            batch.n_tokens = len(part)
            for i, (number, place, token) in enumerate(part):
                reading = readings[number]
                batch.token[i], batch.pos[i] = token, reading.start + place
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, reading.sequence
                wanted = place >= len(reading.tokens) - reading.wanted
                batch.logits[i] = wanted
                if wanted:
                    asked.append(i)
            code = self._llama.llama_decode(self._context, batch)
            if code:
                what = "its memory is full" if code == 1 else f"code {code}"
                raise BackendError(f"llama.cpp failed to read {len(part)} tokens with {self._file}: {what}")
            for i in asked:
                pointer = self._llama.llama_get_logits_ith(self._context, i)
                take(part[i][0], part[i][1], np.ctypeslib.as_array(pointer, shape=(self._size,)))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a sequence begin with the first tokens of another, which are held once."""
        if length:
            self._llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def forget(self, sequence: int, since: int = 0) -> None:
        """Forget a sequence from this position on."""
        self._llama.llama_memory_seq_rm(self._memory, sequence, since if since else -1, -1)

    def allowed(self, grammar: str, candidates: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Those of the candidates that a GBNF grammar lets a text begin with."""
        llama = self._llama
        sampler = llama.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root")
        if not sampler:
            raise BackendError(f"llama.cpp cannot read this grammar: {grammar!r}")
        try:
            rows = (llama.llama_token_data * len(candidates))()
            for row, token in zip(rows, candidates.tolist(), strict=True):
                row.id = token
            array = llama.llama_token_data_array(data=rows, size=len(candidates), selected=-1, sorted=False)
            llama.llama_sampler_apply(sampler, ctypes.byref(array))
            kept = [array.data[i].id for i in range(array.size) if array.data[i].logit == 0.0]
        finally:
            llama.llama_sampler_free(sampler)
        return np.array(kept, dtype=np.int32)
