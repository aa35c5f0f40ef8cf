"""What kind of model a folder or file holds, as far as a look at it tells, without loading anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from limrank_plugins.backends.local.sources import is_gguf

Kind = Literal["a language model", "an encoder", "a cross-encoder"]


def kind_of_model(model: str) -> Kind | None:
    """What a model is; None where its files do not say, or are not here.

    A GGUF file holds a language model. A folder says it in `config.json`, and in the `modules.json` that
    sentence-transformers writes: an encoder may be made from a language model.

    Args:
        model: as `Reranker` takes it.
    """
    if is_gguf(model):
        return "a language model"
    folder = Path(model).expanduser()
    config = _json(folder / "config.json")
    named = config.get("architectures") if isinstance(config, dict) else None
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    modules = _json(folder / "modules.json")
    if isinstance(modules, list):
        classes = [str(module.get("type")) for module in modules if isinstance(module, dict)]
        if any(name.endswith(".Pooling") for name in classes):
            return "an encoder"
        return None  # what a CrossEncoder wrote, or modules of somebody's own
    if architecture.endswith("ForSequenceClassification"):
        return "a cross-encoder"
    return "a language model" if architecture.endswith(("ForCausalLM", "LMHeadModel")) else None


def _json(file: Path) -> Any:
    """What a file holds; None where it is none (a pipe) or broken: whoever loads the model says so."""
    try:
        return json.loads(file.read_bytes()) if file.is_file() else None
    except (OSError, ValueError):
        return None
