"""Ways to run a model: one file each. The table is lazy, so nothing heavy is imported before use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from limrank_plugins.errors import InputError

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
    "vllm": ("limrank_plugins.backends.vllm", "VLLMBackend"),
}


def backend_names() -> list[str]:
    """The backends that can be named."""
    return list(_BACKENDS)


def backend_class(name: str) -> Any:
    """The class of a named backend.

    Raises:
        InputError: there is no such backend.
    """
    if name not in _BACKENDS:
        raise InputError(f"there is no backend {name!r}; there are: {', '.join(backend_names())}")
    module, attribute = _BACKENDS[name]
    return getattr(import_module(module), attribute)
