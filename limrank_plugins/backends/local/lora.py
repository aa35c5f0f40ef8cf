"""LoRA adapters: which model they belong to, and how they are put on it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, InputError, one_sentence, require
from limrank_plugins.files import read_json_object


@contextmanager
def quiet() -> Iterator[None]:
    """While peft puts an adapter on: it uses a name of transformers that is going away, which warns users."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        yield


def is_adapter(folder: str) -> bool:
    """Whether this is a folder with a LoRA adapter and no model of its own."""
    path = Path(folder)
    return (path / "adapter_config.json").is_file() and not (path / "config.json").is_file()


def base_of(adapter: Path) -> str:
    """The model that an adapter belongs to. `InputError` where it does not say."""
    base = read_json_object(adapter / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError(
            f"{adapter}/adapter_config.json does not name its base model: give model and adapter"
        )
    return base


def names_of(model: object, adapter: object = None) -> tuple[str, ...]:
    """What a model is called: by its own name and its adapter's, or by an adapter's and that of its base."""
    names = [str(name) for name in (adapter, model) if name is not None]
    if adapter is None and is_adapter(names[0]):
        names.append(base_of(Path(names[0])))
    return tuple(names)


def with_adapter(network: Any, adapter: str, merge: bool) -> Any:
    """The model with the adapter's weights, added to its own or beside them (`merge=False`).

    Raises:
        InputError: the adapter is no LoRA.
        BackendError: it does not fit the model.
    """
    peft = require("peft", "transformers", "an adapter")
    try:
        with quiet():
            adapted = peft.PeftModel.from_pretrained(network, adapter)
    except (RuntimeError, ValueError) as error:
        raise BackendError(f"adapter {adapter} does not fit the model: {one_sentence(error)}") from error
    if adapted.active_peft_config.is_prompt_learning:
        raise InputError(f"adapter {adapter} learns prompts; only adapters of weights (LoRA) can be used")
    # Live layers stay in the base model, which is used without the wrapper.
    return adapted.merge_and_unload() if merge else adapted.get_base_model()
