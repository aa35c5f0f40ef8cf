"""Models, tokenizers and configurations out of a GGUF file, through `transformers`' `gguf_file`.

The weights are turned into the numbers they stand for (dequantised), so that everything that runs on a folder
of weights runs on them, training included. What `transformers` leaves out of a file is put right or refused.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from limrank_plugins.backends.local.gguf_header import GGUFHeader, GGUFTensor, read_header
from limrank_plugins.backends.local.gguf_speed import quick_gguf
from limrank_plugins.errors import BackendError, InputError, one_sentence, require
from limrank_plugins.wording import number_of

OTHER_KIND = "Unrecognized configuration class"
"""How transformers says that a class loads no models of this kind."""
_ONLY_FOLDERS = ("quantization_config", "output_loading_info", "revision", "trust_remote_code")
_LLAMA3_POSITIONS = {
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
# Byte-level vocabularies that were learned with every digit apart, which transformers does not know of.
_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
COMPOSED = frozenset({"qwen2", "qwen35", "deepseek-r1-qwen"})
"""Qwen's tokenizers compose characters (NFC) first, of which a file says nothing, and llama.cpp does not."""
# What llama.cpp knows by a tokenizer's name, and files leave unsaid: which byte-level ones begin a text with
# BOS, and which take a whole word that is a token, whatever merges make of it.
_LLAMA3 = frozenset({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2"})
_BEGUN = _LLAMA3 | {"tekken", "chameleon"}
_WHOLE_WORDS = _LLAMA3 | {"tekken", "gpt-4o", "llama4"}
_ADDS_BOS = "tokenizer.ggml.add_bos_token"
_F32 = 0
_NAME = "model.gguf"


def pretrained_gguf(kind: Any, file: Path, named: str, **options: Any) -> Any:
    """What a class of `transformers` makes of a GGUF file, as `loading.pretrained` of a folder.

    Args:
        kind: a class with `from_pretrained`: of models, tokenizers or configurations.
        file: where it is.
        named: what a later process would find it by; adapters call it their base.
        options: of `from_pretrained`.

    Raises:
        InputError: it is no GGUF file, or it is to be quantised otherwise.
        BackendError: it is damaged, or it holds what `transformers` cannot read out of it.
        MissingExtra: the package `gguf` is not installed.
    """
    _check_release()
    header = read_header(file)
    if options.get("quantization_config") is not None:
        raise InputError(f"{named} is a GGUF file, which cannot be loaded in 4 bits: give the model's folder")
    told = options.get("output_loading_info", False)
    passed = {name: value for name, value in options.items() if name not in _ONLY_FOLDERS}
    with _alone(file) as folder:
        source = {"pretrained_model_name_or_path": str(folder), "gguf_file": _NAME}
        if "Tokenizer" in kind.__name__:
            return _tokenizer(kind, header, file, named, source, **passed)
        config = _config(header, file, source)
        if "Config" in kind.__name__:
            return config
        try:
            model, report = _model(kind, header, config, **source, **passed)
        except ImportError:
            raise
        except Exception as error:
            if OTHER_KIND in str(error):
                raise
            raise BackendError(
                f"{file} and what transformers makes of its metadata do not fit ({one_sentence(error)}): "
                f"download it again, give the model's folder, or use backend='llama-cpp'"
            ) from error
    _check_bias(file, header, model)
    _check_positions(file, header, model)
    model.name_or_path = model.config._name_or_path = named
    return (model, report) if told else model


@contextmanager
def _alone(file: Path) -> Iterator[Path]:
    """A folder that holds the file as model.gguf and nothing else.

    `transformers` would prefer the tokenizer of another model that lies in the same folder.
    """
    with tempfile.TemporaryDirectory(prefix="limrank-gguf-", ignore_cleanup_errors=True) as folder:
        try:
            os.symlink(file.resolve(), Path(folder) / _NAME)
        except OSError:  # Windows grants links to few
            shutil.copyfile(file, Path(folder) / _NAME)
        yield Path(folder)


def _check_release() -> None:
    """Releases before 5.18 make other tokens of a text than the model's own tokenizer, or fail."""
    transformers = require("transformers", "gguf", "a GGUF file")
    if find_spec("transformers.integrations.gguf") is None:
        raise BackendError(
            f"GGUF files need transformers 5.18 or newer, but {transformers.__version__} is installed: "
            f"pip install --upgrade 'limrank[gguf]'"
        )


def _config(header: GGUFHeader, file: Path, source: dict[str, str]) -> Any:
    transformers = require("transformers", "transformers", "loading a model")
    try:
        with quick_gguf():
            config = transformers.AutoConfig.from_pretrained(**source)
    except Exception as error:  # what a damaged file leads to is not known beforehand
        raise BackendError(
            f"{file} holds a model of the architecture {header.architecture!r}, which transformers "
            f"{transformers.__version__} cannot read from a GGUF file ({one_sentence(error)}): give the "
            f"model's folder, or use backend='llama-cpp'"
        ) from error
    scaling = str(header.metadata.get(f"{header.architecture}.rope.scaling.type", "none"))
    if scaling != "none" and header.metadata.get(f"{header.architecture}.rope.scaling.factor", 1.0) != 1.0:
        raise BackendError(
            f"{file} scales its positions ({scaling}), which transformers does not read from a GGUF file: "
            f"give the model's folder, or use backend='llama-cpp'"
        )
    factors = header.tensors.get("rope_freqs.weight")
    if factors is not None:
        scaled = {"rope_type": "llama3", "factor": float(max(_floats(file, factors))), **_LLAMA3_POSITIONS}
        if getattr(config, "rope_parameters", None) is not None:
            config.rope_parameters = {**config.rope_parameters, **scaled}
        else:
            config.rope_scaling = scaled
    return config


def _model(kind: Any, header: GGUFHeader, config: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    transformers = require("transformers", "transformers", "loading a model")
    if hasattr(transformers, "GgufConfig"):  # some architectures would stay quantised where they can
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with quick_gguf():
        model, report = kind.from_pretrained(config=config, output_loading_info=True, **options)
    if getattr(model, "hf_quantizer", None) is not None:
        # Its weights are plain numbers now, but neither `save_pretrained` nor a trainer would believe it.
        model.hf_quantizer.remove_quantization_config(model)
    turn = header.metadata.get("tokenizer.ggml.eot_token_id")
    ends = model.generation_config
    if turn is not None and ends is not None and ends.eos_token_id not in (None, turn):
        known = ends.eos_token_id if isinstance(ends.eos_token_id, list) else [ends.eos_token_id]
        ends.eos_token_id = list(dict.fromkeys([*known, int(turn)]))
    return model, report


def _tokenizer(
    kind: Any, header: GGUFHeader, file: Path, named: str, source: dict[str, str], **options: Any
) -> Any:
    try:
        with quick_gguf():
            tokenizer = kind.from_pretrained(**source, **options)
    except Exception as error:  # tokenizers raises nothing more particular
        _config(header, file, source)  # it is the architecture, more often
        raise BackendError(
            f"{file} has a tokenizer of the kind {header.metadata.get('tokenizer.ggml.model')!r}, which "
            f"transformers cannot read from a GGUF file ({one_sentence(error)}): give the model's folder, or "
            f"use backend='llama-cpp'"
        ) from error
    put_right(tokenizer, header.metadata)
    for record in (tokenizer.init_kwargs, vars(tokenizer)):  # saved with it, where it would mislead
        for name in ("vocab_file", "gguf_file"):
            record.pop(name, None)
    tokenizer.name_or_path = named
    return tokenizer


def put_right(tokenizer: Any, metadata: dict[str, Any]) -> None:
    """Make a tokenizer what llama.cpp makes of it by its name, where `transformers` does not know the name.

    Args:
        tokenizer: a fast one that `transformers` made of a GGUF file.
        metadata: the file's.
    """
    tokenizers = require("tokenizers", "transformers", "loading a model")
    rule, engine = metadata.get("tokenizer.ggml.pre"), tokenizer.backend_tokenizer
    if rule in _BEGUN and _ADDS_BOS not in metadata:
        tokenizer.add_bos_token = True
    if rule in _WHOLE_WORDS:
        engine.model.ignore_merges = True
    if rule in COMPOSED and engine.normalizer is None:
        engine.normalizer = tokenizers.normalizers.NFC()
    if rule in _DIGITS_APART:
        splits = tokenizers.pre_tokenizers
        engine.pre_tokenizer = splits.Sequence(
            [splits.Digits(individual_digits=True), splits.ByteLevel(add_prefix_space=False)]
        )


def _floats(file: Path, tensor: GGUFTensor) -> Any:
    if tensor.kind != _F32:
        raise BackendError(f"{file} has rope_freqs.weight as no 32-bit floats: convert it again")
    return np.fromfile(file, dtype="<f4", count=tensor.shape[0], offset=tensor.start)


def _check_positions(file: Path, header: GGUFHeader, model: Any) -> None:
    """That the model turns its positions as the file's own factors say (Llama 3.1 and later)."""
    factors = header.tensors.get("rope_freqs.weight")
    if factors is None:
        return
    base = float(header.metadata.get(f"{header.architecture}.rope.freq_base", 10_000.0))
    wanted = _floats(file, factors)
    turns = next(
        (part.inv_freq for part in model.modules() if getattr(part, "inv_freq", None) is not None), None
    )
    if turns is not None and len(turns) == len(wanted):
        frequencies = turns.float().cpu().numpy()
        plain = base ** (-np.arange(len(wanted)) / len(wanted))
        if abs(frequencies * wanted / plain - 1).max() < 1e-3:
            return
    raise BackendError(
        f"{file} turns its positions by factors that transformers does not know: give the "
        f"model's folder, or use backend='llama-cpp'"
    )


def _check_bias(file: Path, header: GGUFHeader, model: Any) -> None:
    """`transformers` leaves out what its class has no place for; of a known class that is only a bias."""
    left = [name for name in header.tensors if name.endswith(".bias")]
    if left and not any(name.endswith("bias") for name, _ in model.named_parameters()):
        raise BackendError(
            f"{file} has {number_of(len(left), 'bias')} ({left[0]}, …), which transformers would leave out: "
            f"give the model's folder, or use backend='llama-cpp'"
        )
