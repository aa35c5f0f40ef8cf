"""A GGUF file that cannot be used is refused in one sentence that names it and says what to do."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import tiny
from write_gguf import write

from limrank_plugins.backends.cross_encoder import CrossEncoderBackend
from limrank_plugins.backends.gliclass import GLiClassBackend
from limrank_plugins.backends.local import gguf_loading
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.backends.vision import VisionBackend
from limrank_plugins.errors import BackendError, InputError, LimRankError, MissingExtra


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("models") / "qwen", "qwen2")


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(folder, tmp_path_factory.mktemp("files") / "tiny.gguf").read_bytes()


def message_of(model: Path | str, error: type[LimRankError] = BackendError) -> str:
    with pytest.raises(error) as caught:
        TransformersBackend(str(model))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_wrong_beginnings(tmp_path: Path) -> None:
    file = tmp_path / "page.gguf"
    file.write_bytes(b"<!doctype html>")
    text = message_of(file, InputError)
    assert text.startswith(f"{file} is no GGUF file: it does not begin with 'GGUF'; download it again")
    file.write_bytes(b"")
    assert "is no GGUF file" in message_of(file, InputError)
    file.write_bytes(b"GGUF" + (1).to_bytes(4, "little") + bytes(16))
    assert "GGUF version 1, and only 2 and 3 are known" in message_of(file)


@pytest.mark.parametrize("part", [4, 5, 23, 24, 40, 300, 3000, -5000, -1])
def test_a_file_that_was_cut_off_anywhere(whole: bytes, tmp_path: Path, part: int) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:part])
    text = message_of(file)
    assert text.startswith(f"{file} is damaged or was cut off: ")
    assert text.endswith("download it again")


def test_damaged_lengths_are_no_reason_to_fill_the_memory(whole: bytes, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:24] + b"\xff" * 8 + whole[32:])
    assert "is damaged or was cut off" in message_of(file)
    file.write_bytes(whole[:8] + b"\xff" * 16 + whole[24:])
    assert str(file) in message_of(file)


@pytest.mark.parametrize(
    ("kind", "architecture", "message"),
    [
        ("mmproj", "clip", "holds the vision projector of a model: give the file of the language model"),
        (None, "clip", "holds the vision projector of a model"),
        ("mmproj", "qwen2", "holds the vision projector of a model"),
        (
            "adapter",
            "qwen2",
            "holds a LoRA adapter: give the file of its base model",
        ),
        ("imatrix", "qwen2", "holds an importance matrix without weights"),
        ("model", "qwen2", "holds no language model"),
    ],
)
def test_files_of_other_things(tmp_path: Path, kind: str | None, architecture: str, message: str) -> None:
    file = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(file, architecture)
    if kind is not None:
        writer.add_type(kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert f"{file} {message}" in message_of(file)


def test_no_tokenizer_inside(folder: Path, tmp_path: Path) -> None:
    file = write(folder, tmp_path / "tiny.gguf", tokenizer=False)
    assert f"{file} has no tokenizer inside: give a GGUF file that has one" in message_of(file)


def test_parts_of_a_model(folder: Path, tmp_path: Path) -> None:
    named = write(folder, tmp_path / "tiny-00001-of-00003.gguf")
    assert f"{named} is one of 3 parts of a model: join them with" in message_of(named)
    told = write(folder, tmp_path / "first.gguf", edit=lambda writer: writer.add_uint16("split.count", 2))
    assert "one of 2 parts" in message_of(told)


def test_an_architecture_that_transformers_cannot_read(folder: Path, tmp_path: Path) -> None:
    made = write(folder, tmp_path / "tiny.gguf").read_bytes()
    file = tmp_path / "other.gguf"
    file.write_bytes(made.replace(b"qwen2", b"qwenX"))
    text = message_of(file)
    assert f"{file} holds a model of the architecture 'qwenX', which transformers" in text
    assert "give the model's folder, or use backend='llama-cpp'" in text


def test_a_tokenizer_that_transformers_cannot_read(folder: Path, tmp_path: Path) -> None:
    made = write(folder, tmp_path / "tiny.gguf").read_bytes()
    file = tmp_path / "other.gguf"
    key = b"tokenizer.ggml.model" + bytes([8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0])
    assert key + b"gpt2" in made
    file.write_bytes(made.replace(key + b"gpt2", key + b"bert"))
    assert f"{file} has a tokenizer of the kind 'bert', which transformers cannot read" in message_of(file)


def test_without_the_package_gguf(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    file = write(folder, tmp_path / "tiny.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    text = message_of(file, MissingExtra)
    assert text == "tiny.gguf needs gguf, which is not installed: pip install 'limrank[gguf]'"


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "'/nowhere/a.gguf' does not exist: give a folder" in message_of("/nowhere/a.gguf", InputError)
    assert "'a.gguf' does not exist" in message_of("a.gguf", InputError)
    text = message_of("nobody/nothing:a-Q4_K_M.gguf")
    assert text.startswith(
        "model 'nobody/nothing:a-Q4_K_M.gguf' cannot be loaded; it is no folder here, and the hub"
    )


def test_a_folder_with_nothing_but_a_file_names_it(folder: Path, tmp_path: Path) -> None:
    file = write(folder, tmp_path / "tiny.gguf")
    assert message_of(tmp_path, InputError) == f"the folder {tmp_path} holds no config.json: give {file}"


@pytest.mark.parametrize("kind", [VisionBackend, CrossEncoderBackend, GLiClassBackend])
def test_only_language_models_are_read_from_a_file(folder: Path, tmp_path: Path, kind: Any) -> None:
    file = write(folder, tmp_path / "tiny.gguf")
    with pytest.raises(InputError, match="is a GGUF file, from which language models are read, not encoders"):
        kind(str(file))


def test_with_a_transformers_that_splits_texts_otherwise(
    folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    file = write(folder, tmp_path / "tiny.gguf")
    monkeypatch.setattr(gguf_loading, "find_spec", lambda name: None)
    assert "GGUF files need transformers 5.18 or newer, but" in message_of(file)


def test_whatever_is_damaged_it_is_one_sentence(whole: bytes, tmp_path: Path) -> None:
    """Single bytes of names, numbers, tokens and merges are changed; what can still be loaded is."""
    rng, file, said = random.Random(5), tmp_path / "tiny.gguf", []
    end = whole.index(b"output_norm.weight")
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(2):
            place = rng.randrange(8, end)
            damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        try:
            TransformersBackend(str(file))
        except LimRankError as error:
            said.append(str(error))
    assert len(said) > 10
    assert all(str(file) in text and "\n" not in text for text in said)
