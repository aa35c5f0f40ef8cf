"""The tensors of a checkpoint, for models that transformers has no class for. Never by unpickling objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, InputError, require
from limrank_plugins.files import read_json_object

_WHY, _FIX = "reading weights", "copy or fetch the model again"
_NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def read_weights(source: str, revision: str | None = None) -> dict[str, Any]:
    """All tensors of a folder's or hub model's weights by name, on the CPU.

    Safetensors, whole or in shards, is taken before `pytorch_model.bin`, of which tensors alone are read.

    Raises:
        BackendError: there is no file of weights, or it cannot be read.
    """
    for name in _NAMES:
        file = _file(source, name, revision)
        if file is None:
            continue
        if file.suffix == ".json":
            shards = _shards(file)
            parts = [_file(source, shard, revision) for shard in shards]
            if None in parts:
                raise BackendError(f"{source} lacks {shards[parts.index(None)]}: copy or fetch it again")
        else:
            parts = [file]
        return {key: value for part in parts if part is not None for key, value in _tensors(part).items()}
    raise BackendError(
        f"{source} holds no weights: give a folder or hub model with one of {', '.join(_NAMES)}"
    )


def read_config(source: str, revision: str | None = None) -> dict[str, Any]:
    """What a folder's or hub model's config.json says, whether or not transformers knows its kind.

    Raises:
        BackendError: there is none, or it is not JSON.
    """
    file = _file(source, "config.json", revision)
    if file is None:
        raise BackendError(
            f"{source} gives no config.json: give a folder that holds one, or the hub name of a model that "
            f"is in the cache or can be fetched"
        )
    try:
        return read_json_object(file, fix=_FIX)
    except InputError as error:
        raise BackendError(f"this is not a model's configuration: {error}") from error


def _shards(index: Path) -> list[str]:
    try:
        names = read_json_object(index, fix=_FIX).get("weight_map")
    except InputError as error:
        raise BackendError(str(error)) from error
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise BackendError(f"{index} names no files of weights: {_FIX}")
    return sorted(set(names.values()))


def _file(source: str, name: str, revision: str | None) -> Path | None:
    hub = require("transformers.utils", "transformers", _WHY)
    path = hub.cached_file(
        source,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
    )
    return None if path is None else Path(path)


def _tensors(file: Path) -> dict[str, Any]:
    try:
        if file.suffix == ".safetensors":
            tensors: dict[str, Any] = require("safetensors.torch", "transformers", _WHY).load_file(file)
        else:
            torch = require("torch", "transformers", _WHY)
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BackendError(f"{file} cannot be read as weights: {type(error).__name__}: {error}") from error
    return tensors
