"""Run a GGUF file with llama.cpp in this process, without dequantising it."""

from limrank_plugins.backends.llama_cpp.backend import LlamaCppBackend

__all__ = ["LlamaCppBackend"]
