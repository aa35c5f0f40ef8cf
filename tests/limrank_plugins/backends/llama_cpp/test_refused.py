"""A file that llama.cpp cannot run is refused in one sentence, and nothing else is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from write_gguf import write

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: tests/compat/run_llama_cpp installs it")

from limrank_plugins.backends.llama_cpp import LlamaCppBackend
from limrank_plugins.errors import BackendError, InputError, LimRankError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("models") / "qwen", intermediate_size=64)


def message_of(model: Path | str, error: type[LimRankError] = BackendError, **options: Any) -> str:
    with pytest.raises(error) as caught:
        LlamaCppBackend(str(model), threads=1, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def renamed(file: Path, old: bytes, new: bytes) -> Path:
    assert len(old) == len(new)
    file.write_bytes(file.read_bytes().replace(old, new))
    return file


def test_wrong_and_damaged_files(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.gguf"
    page.write_bytes(b"<!doctype html>")
    assert "is no GGUF file: it does not begin with 'GGUF'" in message_of(page, InputError)
    whole = write(folder, tmp_path / "tiny.gguf")
    page.write_bytes(whole.read_bytes()[:-5000])
    assert "is damaged or was cut off" in message_of(page)
    assert "has no tokenizer inside" in message_of(write(folder, tmp_path / "bare.gguf", tokenizer=False))
    part = whole.rename(tmp_path / "tiny-00001-of-00003.gguf")
    assert "is one of 3 parts of a model" in message_of(part)
    assert "".join(capfd.readouterr().err.split("Writing model shards")).count("llama") == 0


def test_what_llama_cpp_says_is_passed_on(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = renamed(write(folder, tmp_path / "other.gguf"), b"qwen2.", b"qwenX.")
    five = (5).to_bytes(8, "little")
    renamed(other, five + b"qwen2", five + b"qwenX")
    text = message_of(other)
    assert text == f"llama.cpp cannot load {other}: unknown model architecture: 'qwenX'"
    missing = renamed(
        write(folder, tmp_path / "missing.gguf"), b"blk.1.attn_q.weight", b"blk.1.attn_x.weight"
    )
    assert message_of(missing).endswith("tensor 'blk.1.attn_q.weight' not found")
    assert "llama" not in capfd.readouterr().err


def test_values(folder: Path, tmp_path: Path) -> None:
    file = write(folder, tmp_path / "tiny.gguf")
    text = message_of(file, InputError, max_length=10_000)
    assert text == "max_length must be from 2 to the model's context of 512, but got 10000"
    text = message_of(file, InputError, gpu_layers=4)
    assert text.startswith("gpu_layers=4 needs a GPU, but this llama.cpp was built without")
    assert "llama.cpp has no room for" in message_of(file, cache_tokens=1 << 31)
