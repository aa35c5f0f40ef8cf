"""What a model may be named by: a folder, a hub name, a GGUF file, or the embedded model."""

from __future__ import annotations

import re
from pathlib import Path

from limrank_plugins.backends.local.gguf_header import MAGIC
from limrank_plugins.backends.local.hub import hub_or_cache
from limrank_plugins.backends.smollm_weights import SMOLLM2, SMOLLM2_HUB, find_smollm2
from limrank_plugins.errors import InputError, require
from limrank_plugins.pipes import is_pipe, regular_file

_HUB_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)?")
_HUB_FILE = re.compile(rf"({_HUB_NAME.pattern}):(\w[\w./-]*\.gguf)", re.IGNORECASE)


def checked_source(model: str) -> str:
    """What a model is loaded from; an `InputError` for what can be nothing of the kind.

    It is a folder, a hub name, a GGUF file, `repository:file.gguf` on the hub, or `"smollm2"` (where the
    package with its file is not installed: the hub name of that model).
    """
    if model == SMOLLM2:
        return SMOLLM2 if find_smollm2() is not None else SMOLLM2_HUB
    path = Path(model).expanduser()
    if path.is_dir():
        if not any((path / name).is_file() for name in ("config.json", "adapter_config.json")):
            files = [str(file) for file in sorted(path.glob("*.gguf"))]
            instead = files[0] if files else "the folder that save_pretrained wrote"
            raise InputError(f"the folder {model} holds no config.json: give {instead}")
        return str(path)
    if _is_gguf(path):
        return str(path)
    if is_pipe(path):
        regular_file(path, "model")
    if path.exists() or not (_HUB_NAME.fullmatch(model) or _HUB_FILE.fullmatch(model)) or _names_gguf(model):
        what = "is a file" if path.exists() else "does not exist"
        raise InputError(
            f"model {model!r} {what}: give a folder with config.json, a GGUF file, or a hub name like "
            f"'org/name' or 'org/name:file.gguf'"
        )
    return model


def gguf_file(source: str, revision: str | None = None) -> Path | None:
    """The GGUF file that a source is, fetched from the hub where it is there; None for any other source.

    Raises:
        OSError: the hub cannot give it.
    """
    if source == SMOLLM2:
        return find_smollm2()
    path = Path(source).expanduser()
    if _is_gguf(path):
        return path
    named = _HUB_FILE.fullmatch(source)
    if named is None:
        return None
    hub = require("transformers.utils.hub", "transformers", "a model of the hub")
    with hub_or_cache(source):
        return Path(hub.cached_file(named[1], named[2], revision=revision))


def is_gguf(source: str) -> bool:
    """Whether a checked source is a GGUF file, without fetching it."""
    return source == SMOLLM2 or _HUB_FILE.fullmatch(source) is not None or _is_gguf(Path(source))


def _is_gguf(path: Path) -> bool:
    """By its name, or by how it begins: Ollama's files have no name."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".gguf":
        return True
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _names_gguf(model: str) -> bool:
    return model.lower().endswith(".gguf") and ":" not in model
