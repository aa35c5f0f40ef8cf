"""What a model is asked when it is loaded: here, what it calls its keys and values."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_vision
import transformers

from limrank_plugins.backends.local.probe import cache_argument


class Before:
    """A model of transformers before 5.24, or with code of its own."""

    def forward(self, input_ids: Any, past_key_values: Any = None, use_cache: bool = True) -> None: ...


class From524:
    def forward(self, input_ids: Any, cache: Any = None, use_cache: bool = True) -> None: ...


class Both:
    def forward(self, input_ids: Any, past_key_values: Any = None, cache: Any = None) -> None: ...


class Adapted:
    """A LoRA adapter's model passes on what it is given."""

    def __init__(self, base: Any) -> None:
        self.base = base

    def forward(self, *given: Any, **named: Any) -> None: ...

    def get_base_model(self) -> Any:
        return self.base


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Before(), "past_key_values"),
        (From524(), "cache"),
        (Both(), "past_key_values"),
        (Adapted(Before()), "past_key_values"),
        (Adapted(From524()), "cache"),
    ],
    ids=["before", "from 5.24", "both", "adapted before", "adapted"],
)
def test_the_name_of_the_cache(model: Any, name: str) -> None:
    assert cache_argument(model) == name


@pytest.mark.parametrize("family", ["qwen2", "vision"])
def test_an_installed_model_takes_it_without_a_warning(family: str, tmp_path: Path) -> None:
    """A warning is an error here."""
    build = tiny_vision.build if family == "vision" else tiny.build
    kind = "AutoModelForImageTextToText" if family == "vision" else "AutoModelForCausalLM"
    model = getattr(transformers, kind).from_pretrained(build(tmp_path / "model"))
    name = cache_argument(model)
    assert name in inspect.signature(model.forward).parameters
    model(input_ids=tiny.torch.tensor([[1, 2]]), use_cache=True, **{name: transformers.DynamicCache()})
