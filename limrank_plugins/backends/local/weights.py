"""The tensors of a checkpoint, for models that transformers has no class for. Never by unpickling objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, require

_WHY = "reading weights"
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
            shards = sorted(set(json.loads(file.read_text("utf-8"))["weight_map"].values()))
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
        body: dict[str, Any] = dict(json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise BackendError(f"{file} is not a model's configuration: {error}") from error
    return body


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
