"""Which recipes a model can serve, as its backend can answer them, and with which reasoning they are run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from limrank_plugins.arguments import has_capability, says
from limrank_plugins.backends import backend_class
from limrank_plugins.errors import InputError
from limrank_plugins.readouts import Settings
from limrank_plugins.recipes import Recipe, last_part, load_recipe
from limrank_plugins.wrappers.budget import Budget

# A recipe that is made for the first of them is asked of any of them that has what it needs.
_CAUSAL, _IN_ITS_PLACE = "transformers", ("openai", "vllm", "llama-cpp", "seq2seq", "vision")


@dataclass(frozen=True, slots=True)
class Arm:
    """A recipe, and whether it reasons.

    Attributes:
        recipe: its name.
        reasoning: as `Reranker` takes it; None: it has none to switch, or is left as it comes.
        budget: of `"auto"`.
        named: whether its reasoning is part of its name, as the recipe stands beside itself.
    """

    recipe: str
    reasoning: str | None = None
    budget: str | None = None
    named: bool = False

    @classmethod
    def of(cls, recipe: str, written: str, *, named: bool) -> Self:
        """The recipe with its reasoning as it is written: `none`, `full`, `auto` or `auto:20 documents`.

        Raises:
            InputError: it is written otherwise.
        """
        reasoning, colon, budget = written.partition(":")
        if reasoning not in ("none", "full", "auto") or (colon and reasoning != "auto"):
            raise InputError(
                f"--reasoning must be none, full, auto or, with a budget, 'auto:20 documents', "
                f"but got {written!r}"
            )
        if last_part(load_recipe(recipe)).reasoning is None:
            return cls(recipe)
        return cls(recipe, reasoning, str(Budget.of(budget)) if colon else None, named)

    @property
    def name(self) -> str:
        """What its cell is called."""
        budget = f" within {self.budget}" if self.budget else ""
        return f"{self.recipe}, {self.reasoning}{budget}" if self.named else self.recipe

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `Reranker` that it decides."""
        budget = {} if self.budget is None else {"budget": self.budget}
        return {"recipe": self.recipe, "reasoning": self.reasoning, **budget}


def why_not(recipe: Recipe, backend: str, reasoning: str) -> str:
    """Why a model on this backend cannot serve a recipe; "" where it can.

    Of a recipe that is made of others, the last one is asked of the model.

    Args:
        recipe: see there.
        backend: runs the model.
        reasoning: the most that is asked of recipes that can reason: `"none"` or `"full"`.

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
    reasons = asked.reasoning is not None and reasoning != "none"
    settings = Settings(reasoning="full" if reasons else "none")
    kind = backend_class(backend)
    missing = [need for need in asked.needs(settings) if not has_capability(kind, need)]
    return f"it needs a backend that {says(missing[0])}, which {backend} cannot be asked" if missing else ""
