"""An option that is a text and gets something else is refused before anything is loaded or asked."""

from __future__ import annotations

from typing import Any

import pytest

from limrank_plugins import Document, Query, Reranker, ScriptedBackend
from limrank_plugins.errors import InputError


@pytest.mark.parametrize("value", [5, 0.5, True, b"text", ["text"]])
@pytest.mark.parametrize(
    ("recipe", "name", "options"),
    [
        ("limrank", "instruction", {}),
        ("qwen3-reranker", "instruction", {}),
        ("vote:of=limrank", "instruction", {}),
        ("limrank", "template", {}),
        ("limrank", "model", {}),
        ("cross-encoder", "prompt", {"model": "no/such"}),
        ("cross-encoder", "prompt_name", {"model": "no/such"}),
        ("limrank", "base_url", {"model": "m", "backend": "openai"}),
        ("rerank-api", "base_url", {"model": "m"}),
    ],
)
def test_what_is_no_text_is_refused(recipe: str, name: str, options: dict[str, Any], value: object):
    if "model" not in options and name != "model":
        options = {"backend": ScriptedBackend(read_labels=lambda prompt: (1.0, 0.0), generate=str)}
    with pytest.raises(InputError, match=f"{name} must be a str, but got {type(value).__name__}"):
        Reranker(recipe, **options | {name: value})


def test_a_key_that_is_no_text_is_not_shown():
    with pytest.raises(InputError, match=r"^api_key must be a str, but got int$"):
        Reranker("rerank-api", "m", base_url="http://127.0.0.1:1", api_key=12345678)


def test_recipes_tokenizers_queries_and_documents():
    recipe: Any = 5
    with pytest.raises(InputError, match="recipe must be a str, but got int: 5"):
        Reranker(recipe)
    with pytest.raises(InputError, match="tokenizer must be a str, but got int: 5"):
        Reranker("limrank", "m", "openai", base_url="http://127.0.0.1:1", tokenizer=5)
    with pytest.raises(InputError, match=r"Query\.text must be a str, but got int: 5"):
        Query(recipe)
    with pytest.raises(InputError, match=r"Document\.title must be a str, but got int: 5"):
        Document("text", title=recipe)


def test_an_empty_name_of_a_file_is_called_that():
    backend = ScriptedBackend(read_labels=lambda prompt: (1.0, 0.0))
    with pytest.raises(InputError, match="the file has an empty name: give the path of a file, or leave it"):
        Reranker("limrank", backend=backend, reasoning="none", calibration="")
