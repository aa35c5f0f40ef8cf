"""What a reranker is called in results: recipe, model, how it ran, what it was asked with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from limrank_plugins.backends.protocols import Backend
from limrank_plugins.prompts import instructions
from limrank_plugins.reranker import Reranker

NO_PROMPTS = "none"
# Published with a benchmark's instructions around the queries; all others are asked plainly unless told.
INSTRUCTED = ("limrank", "rank1")


def instructs_by_default(recipe: str) -> bool:
    """Whether a recipe of this name is asked with a benchmark's own instructions where nobody decides."""
    return recipe.partition(":")[0] in INSTRUCTED


@dataclass(frozen=True, slots=True)
class System:
    """The fields of an identity that a reranker decides; see `limrank_evals.identity`.

    Attributes:
        name: what a table calls the row.
        recipe: with its options.
        model: with revision or fingerprint, precision and length, as far as its backend knows them.
        backend: with the settings that change scores.
        prompts: the instruction around the queries.
    """

    name: str
    recipe: str
    model: str
    backend: str
    prompts: str


def describe(reranker: Reranker) -> System:
    """Describe a reranker."""
    leaves = _leaves(reranker)
    models = [_model(leaf.backend) for leaf in leaves]
    backends = [f"{leaf.backend.name}{_settings(leaf)}" for leaf in leaves]
    reasoning, default = reranker.settings.reasoning, reranker.recipe.reasoning
    thinks = f", reasoning {reasoning}" if default is not None and reasoning != default else ""
    if reranker.reasoning == "auto":
        thinks = f", reasoning auto{f' within {reranker.budget}' if reranker.budget else ''}"
    return System(
        reranker.recipe.name + thinks,
        reranker.recipe.name,
        " + ".join(dict.fromkeys(filter(None, models))),
        " + ".join(dict.fromkeys(backends)) + (f"; budget {reranker.budget}" if reranker.budget else ""),
        _prompts(reranker.settings.instruction),
    )


def _model(backend: Backend) -> str:
    # Where a server runs is part of its identity, but says nothing about what answered.
    named = getattr(backend, "model", "") if "://" in backend.identity else ""
    return named or backend.identity.removeprefix(backend.name).lstrip(":|")


def _leaves(reranker: Reranker) -> list[Reranker]:
    if not reranker.parts:
        return [reranker]
    return [leaf for part in reranker.parts for leaf in _leaves(part)]


def _settings(reranker: Reranker) -> str:
    s = reranker.settings
    settings = []
    if reranker.recipe.reasoning is not None:
        settings.append(f"reasoning {s.reasoning}")
        if s.reasoning == "full":
            settings.append(f"at most {s.max_reasoning_tokens} tokens")
            if not s.cut_to_sentence:
                settings.append("thoughts not cut to sentences")
    if s.samples > 1:
        settings.append(f"{s.samples} samples")
    if s.drawn_temperature > 0:
        settings.append(f"temperature {s.drawn_temperature:g}, top-p {s.top_p:g}, seed {s.seed}")
    if s.chunks is not None:
        settings.append(f"long documents by their pieces ({s.chunks})")
    return "".join(f", {setting}" for setting in settings)


def _prompts(instruction: str | None) -> str:
    if instruction is None:
        return NO_PROMPTS
    if instruction in instructions():
        return f"{instruction}, in this package's words"
    return f"own text {hashlib.sha256(instruction.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
