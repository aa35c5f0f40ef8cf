"""Which recipes a model can serve: what a recipe asks of a backend, and what the backend can answer."""

from __future__ import annotations

from typing import Literal

from limrank_plugins.arguments import has_capability, says
from limrank_plugins.backends import backend_class
from limrank_plugins.readouts import Settings
from limrank_plugins.recipes import Recipe, last_part

Thinks = Literal["full", "none"]
# A recipe that is made for the first of them is asked of any of them that has what it needs.
_CAUSAL, _IN_ITS_PLACE = "transformers", ("openai", "vllm", "llama-cpp", "seq2seq", "vision")


def why_not(recipe: Recipe, backend: str, reasoning: Thinks) -> str:
    """Why a model on this backend cannot serve a recipe; "" where it can.

    Of a recipe that is made of others, the last one is asked of the model.

    Raises:
        InputError: there is no such backend.
    """
    asked = last_part(recipe)
    if asked.backend == "none":
        return "it asks no model: it is the first stage"
    if asked.for_images and backend != asked.backend:
        return (
            f"it is made to be shown images (backend {asked.backend}), which a model on {backend} cannot see"
        )
    if backend not in (asked.backend, *(_IN_ITS_PLACE if asked.backend == _CAUSAL else ())):
        return f"it is made for models of another kind (backend {asked.backend}, not {backend})"
    settings = Settings(reasoning=reasoning_of(asked, reasoning) or "none")
    kind = backend_class(backend)
    missing = [need for need in asked.needs(settings) if not has_capability(kind, need)]
    return f"it needs a backend that {says(missing[0])}, which {backend} cannot be asked" if missing else ""


def reasoning_of(recipe: Recipe, reasoning: Thinks) -> Thinks | None:
    """The reasoning a recipe is run with: None where it has none to switch."""
    return None if recipe.reasoning is None else reasoning
