"""Ways to run a model: one file each. The table is lazy, so nothing heavy is imported before use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.wording import did_you_mean

_BACKENDS = {
    "none": ("limrank_plugins.backends.none", "NoBackend"),
    "transformers": ("limrank_plugins.backends.transformers", "TransformersBackend"),
    "seq2seq": ("limrank_plugins.backends.seq2seq", "Seq2SeqBackend"),
    "encoder": ("limrank_plugins.backends.encoder", "EncoderBackend"),
    "multimodal-encoder": ("limrank_plugins.backends.multimodal_encoder", "MultimodalEncoderBackend"),
    "cross-encoder": ("limrank_plugins.backends.cross_encoder", "CrossEncoderBackend"),
    "vision": ("limrank_plugins.backends.vision", "VisionBackend"),
    "tildev2": ("limrank_plugins.backends.tildev2", "TILDEv2Backend"),
    "gliclass": ("limrank_plugins.backends.gliclass", "GLiClassBackend"),
    "openai": ("limrank_plugins.backends.openai", "OpenAIBackend"),
    "rerank-api": ("limrank_plugins.backends.rerank_api", "RerankAPIBackend"),
    "decisions": ("limrank_plugins.backends.decisions", "DecisionsBackend"),
    "vllm": ("limrank_plugins.backends.vllm", "VLLMBackend"),
    "llama-cpp": ("limrank_plugins.backends.llama_cpp", "LlamaCppBackend"),
}

OPTIONS_OF_FILES = frozenset(
    {
        # how a local model is loaded and batched
        "adapter", "batch_size", "batch_tokens", "cache_tokens", "device", "dtype", "max_length",
        "max_pixels", "merge_adapter", "passage_prompt", "query_prompt", "revision", "share_prefix",
        # how a server is asked
        "api", "cached_price", "concurrency", "dialect", "draws", "max_retries", "prompt_cache_key",
        "requests_per_minute", "search_price", "server", "timeout", "token_price", "tokenizer",
        "tolerance", "top_logprobs",
        # how vLLM is dimensioned
        "enable_prefix_caching", "enforce_eager", "gpu_memory_utilization", "kv_cache_dtype",
        "max_num_batched_tokens", "max_num_seqs", "quantization", "swap_space", "tensor_parallel",
        # how llama.cpp runs a file
        "gpu_layers", "grammar", "threads",
    }
)  # fmt: skip
"""Arguments of backends that settings in a file may give: none that makes a model run code."""


def backend_names() -> list[str]:
    """The backends that can be named."""
    return list(_BACKENDS)


def backend_class(name: str) -> Any:
    """The class of a named backend.

    Raises:
        InputError: there is no such backend.
    """
    if name not in _BACKENDS:
        fix = did_you_mean(name, backend_names()) or f"there are: {', '.join(backend_names())}"
        raise InputError(f"there is no backend {name!r}; {fix}")
    module, attribute = _BACKENDS[name]
    return getattr(import_module(module), attribute)
