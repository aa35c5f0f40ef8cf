"""What can be loaded, what is refused and in which words, and what an identity tells apart."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_seq2seq
from plain import ask, chances
from safetensors.torch import load_file, save_file
from write_gguf import write

from limrank_plugins.backends.local import fingerprint
from limrank_plugins.backends.local.loading import check_positions
from limrank_plugins.backends.seq2seq import Seq2SeqBackend
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import BackendError, InputError

PASSAGES = ["acid curdles milk because the proteins clump", "bread rises", "", "iron rusts in moist air"]
REQUESTS = [ask("why does milk curdle in tea", passage) for passage in PASSAGES]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def qwen(home: Path) -> Path:
    return tiny.build(home / "qwen", "qwen2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "/nowhere/at/all"}, "'/nowhere/at/all' does not exist: give a folder"),
        ({"model": "./nowhere"}, "'./nowhere' does not exist"),
        ({"max_length": 513}, "max_length must be from 2 to the model's context of 512, but got 513"),
        ({"max_length": True}, "max_length"),
        ({"batch_tokens": 0}, "batch_tokens must be a whole number >= 1, but got 0"),
        ({"cache_tokens": 1.5}, "cache_tokens must be a whole number >= 1, but got 1.5"),
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16, but got 'int8'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
        ({"model": "smollm2", "revision": "a1"}, "revision='a1': the model 'smollm2' is one fixed file"),
        ({"adapter": "/nowhere"}, "adapter '/nowhere' must be a folder that holds an adapter_config.json"),
    ],
)
def test_values_that_cannot_be_used_are_named(qwen: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        TransformersBackend(**({"model": str(qwen)} | options))


def test_a_file_and_an_empty_folder_are_no_models(tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(BackendError, match=r"weights\.gguf is damaged or was cut off"):
        TransformersBackend(str(file))
    file = file.rename(tmp_path / "weights.bin")
    file.write_bytes(b"1234")
    with pytest.raises(InputError, match="is a file: give a folder"):
        TransformersBackend(str(file))
    with pytest.raises(InputError, match=r"holds no config\.json"):
        TransformersBackend(str(tmp_path))


def test_a_hub_name_that_cannot_be_had_is_one_sentence() -> None:
    with pytest.raises(BackendError, match=r"'nobody/nothing' cannot be loaded.*hub") as caught:
        TransformersBackend("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_missing_weights_are_never_made_up(home: Path, qwen: Path, tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "model", "qwen2")
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        BackendError, match=r"no causal language model: it has no weights for lm_head\.weight"
    ):
        TransformersBackend(str(folder))


def test_a_model_of_another_kind_is_told_where_it_runs(qwen: Path, tmp_path: Path) -> None:
    causal = r"is no sequence-to-sequence model: a causal language model runs on backend 'transformers'"
    for model in (qwen, write(qwen, tmp_path / "tiny.gguf")):
        with pytest.raises(BackendError, match=causal) as caught:
            Seq2SeqBackend(str(model))
        assert str(model) in str(caught.value)
    t5 = tiny_seq2seq.build(tmp_path / "t5")
    with pytest.raises(BackendError, match="is no causal language model: T5 and its like run on backend"):
        TransformersBackend(str(t5))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "model", "qwen2", vocab_size=300)
    with pytest.raises(BackendError, match="has 465 tokens, but the model only knows 300"):
        TransformersBackend(str(folder))


# ---- identity -----------------------------------------------------------------------------------


def test_retrained_weights_in_the_same_folder_have_another_identity(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "model", "qwen2", seed=1)
    first = TransformersBackend(str(folder)).identity
    assert TransformersBackend(str(folder)).identity == first
    (folder / "README.md").write_text("nothing about the weights")
    assert TransformersBackend(str(folder)).identity == first
    tiny.build(folder, "qwen2", seed=2)
    second = TransformersBackend(str(folder)).identity
    assert second != first
    assert TransformersBackend(str(folder), dtype="bfloat16").identity != second
    assert TransformersBackend(str(folder), max_length=100).identity != second
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 5000.0}))
    assert TransformersBackend(str(folder)).identity != second


def test_a_change_inside_a_large_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_WHOLE", 1000)
    file = tmp_path / "model.safetensors"
    content = bytearray(2_000_000)

    def mark() -> str:
        file.write_bytes(content)
        os.utime(file, ns=(1, 1))  # as images with frozen times have it
        return fingerprint.folder_fingerprint(tmp_path)

    first = mark()
    assert mark() == first
    content[1_000_000:1_100_000] = bytes([1]) * 100_000
    second = mark()
    assert second != first
    os.utime(file, ns=(2, 2))
    assert fingerprint.folder_fingerprint(tmp_path) != second


# ---- adapters -----------------------------------------------------------------------------------


def test_an_adapter_is_the_same_merged_live_or_named_alone(qwen: Path, tmp_path: Path) -> None:
    adapter = str(tiny.build_adapter(tmp_path / "adapter", qwen))
    base = chances(TransformersBackend(str(qwen)).read_labels(REQUESTS))
    merged = TransformersBackend(str(qwen), adapter=adapter)
    live = TransformersBackend(str(qwen), adapter=adapter, merge_adapter=False)
    alone = TransformersBackend(adapter)
    found = chances(merged.read_labels(REQUESTS))
    assert chances(live.read_labels(REQUESTS)) == pytest.approx(found, abs=1e-5)
    assert chances(alone.read_labels(REQUESTS)) == pytest.approx(found, abs=1e-5)
    assert max(abs(a - b) for a, b in zip(base, found, strict=True)) > 1e-2
    assert alone.identity == merged.identity != live.identity
    with pytest.raises(InputError, match="is itself an adapter"):
        TransformersBackend(adapter, adapter=adapter)


def test_an_adapter_of_another_shape_is_refused(qwen: Path, home: Path, tmp_path: Path) -> None:
    wide = tiny.build(home / "wide", "qwen2", hidden_size=64)
    adapter = tiny.build_adapter(tmp_path / "adapter", wide)
    with pytest.raises(BackendError, match="does not fit the model"):
        TransformersBackend(str(qwen), adapter=str(adapter))


@pytest.mark.parametrize(
    ("config", "is_read"),
    [
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, True),  # as version 5 holds it
        ({"rope_theta": 1e6, "rope_scaling": None}, True),  # as version 4 wrote and reads it
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}, True),
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e5, "rope_type": "default"}}, False),
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e4, "rope_type": "llama3"}}, False),
        ({}, True),
    ],
)
def test_positions_that_an_older_transformers_passes_over_are_refused(config: dict[str, Any], is_read: bool):
    """SmolLM2 as version 5 saves it has, in 4.57.3, rope_theta 10,000 and rope_parameters of 100,000."""
    if is_read:
        check_positions(SimpleNamespace(**config), "folder")
        return
    with pytest.raises(BackendError, match=r"folder was saved by transformers 5 or later.*transformers>=5"):
        check_positions(SimpleNamespace(**config), "folder")


def test_files_of_models_are_opened_in_one_place() -> None:
    """So that another file format is a change of `loading.py`; a LoRA adapter is put on in `lora.py`.

    `gguf_loading.py` is `loading.py`'s for GGUF files, and no other file asks it.
    """
    root = Path(__file__).parents[4]
    opening = {
        str(path.relative_to(root))
        for room in ("limrank_plugins", "pipelines", "synth", "training", "evals")
        for path in (root / room).rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if ".from_pretrained(" in line and "Reranker.from_pretrained(" not in line
    }
    names = ("gguf_loading", "loading", "lora")
    assert opening == {f"limrank_plugins/backends/local/{name}.py" for name in names}
