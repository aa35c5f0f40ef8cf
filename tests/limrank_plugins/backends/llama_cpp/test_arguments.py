"""What is refused before llama.cpp is asked for anything, and what is said where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import tiny

from limrank_plugins import Reranker
from limrank_plugins.arguments import has_capability
from limrank_plugins.backends import OPTIONS_OF_FILES, backend_class
from limrank_plugins.backends.llama_cpp import LlamaCppBackend
from limrank_plugins.backends.protocols import Attends, ReadsLikelihood
from limrank_plugins.errors import InputError, MissingExtra


@pytest.fixture
def file(tmp_path: Path) -> str:
    place = tmp_path / "model.gguf"
    place.write_bytes(b"GGUF")
    return str(place)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads must be a whole number >= 1, but got 0"),
        ({"cache_tokens": 0}, "cache_tokens must be a whole number >= 1, but got 0"),
        ({"kv_cache_dtype": "int3"}, "kv_cache_dtype must be one of float32, float16, q8_0, not 'int3'"),
        ({"device": "tpu0!"}, "device must be a name like 'cpu'"),
        ({"device": "cpu", "gpu_layers": 3}, "gpu_layers=3 and device='cpu' contradict each other"),
        ({"gpu_layers": -1}, "gpu_layers must be a whole number"),
    ],
)
def test_values_that_cannot_be_used(file: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        LlamaCppBackend(file, **options)
    assert message in str(caught.value)


def test_only_gguf_files(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "model")
    with pytest.raises(InputError, match="is no GGUF file, and llama"):
        LlamaCppBackend(str(folder))
    with pytest.raises(InputError, match="'smollm3/none' is no GGUF file"):
        LlamaCppBackend("smollm3/none")


def test_llama_cpp_is_an_extra(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingExtra) as caught:
        Reranker("rankgpt", file, "llama-cpp", threads=1)
    assert str(caught.value) == (
        "LlamaCppBackend needs llama_cpp, which is not installed: pip install 'limrank[llama-cpp]'"
    )


def test_a_file_with_settings_may_name_it_and_its_options() -> None:
    assert backend_class("llama-cpp") is LlamaCppBackend
    assert {"threads", "gpu_layers", "grammar", "kv_cache_dtype", "cache_tokens"} <= OPTIONS_OF_FILES
    assert has_capability(LlamaCppBackend, ReadsLikelihood)
    assert not has_capability(LlamaCppBackend, Attends)
