"""Which of a recipe's templates a model is asked with: the one that weights were trained with, or a chat.

LimRank, Rank1 and monoT5 were trained to continue a raw completion. Any other model continues it with
whatever comes to it, so it is asked in a chat instead. What decides is the checkpoint's card, then its name,
then whether the model can be asked in a chat; `template=…` decides by itself.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from limrank_plugins.backends.protocols import Backend, KnowsModel, ModelFacts
from limrank_plugins.card import has_card, read_card
from limrank_plugins.prompts import Template
from limrank_plugins.recipes import Recipe, own_recipes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TemplateChoice:
    """A template, and why it was chosen.

    Attributes:
        template: None for recipes without a prompt.
        reason: one sentence; empty where there was nothing to choose.
        is_guess: nothing says that the model was trained with it, nor did the caller name it.
    """

    template: Template | None
    reason: str = ""
    is_guess: bool = False


def choose_template(
    recipe: Recipe, named: str | None, backend: Backend | ModelFacts | None
) -> TemplateChoice:
    """The template that a recipe asks this model with.

    Args:
        recipe: one with a readout of its own.
        named: the template that the caller wants; None to have it chosen.
        backend: how the model is run, or what is known of it; None: nothing.
    """
    trained = recipe.load_template(named)
    if named is not None or trained is None:
        return TemplateChoice(trained)
    facts = backend if isinstance(backend, ModelFacts) else None
    if isinstance(backend, KnowsModel):
        facts = backend.facts
    chat = recipe.load_template(recipe.chat_template) if recipe.chat_template is not None else None
    if chat is None or facts is None:
        return TemplateChoice(trained)
    called = repr(facts.names[0]) if facts.names else "the model"
    card = _card(facts, is_dir=True)
    if card is None and _is_checkpoint(facts, recipe):
        return TemplateChoice(trained, f"template {trained.name!r}, which {called} was trained with")
    if card is None:
        card = _card(facts, is_dir=False)
    learned = None if card is None else _learned(card, recipe, trained, chat)
    if learned is not None:
        return TemplateChoice(learned, f"template {learned.name!r}, as the card of {called} says")
    if facts.chats:
        return TemplateChoice(
            chat,
            f"{called} is asked in a chat (template {chat.name!r}): nothing says that it was trained with "
            f"the recipe's own prompt, which it would read with template={trained.name!r}",
            is_guess=True,
        )
    return TemplateChoice(
        trained,
        f"{called} is asked to go on with the recipe's own prompt (template {trained.name!r}): it has no "
        f"chat template. Nothing says that it was trained with this prompt; if it was not, expect nonsense",
        is_guess=True,
    )


def expected_template(
    recipe: Recipe, named: str | None, model: str | None, adapter: str | None = None
) -> Template | None:
    """The template that a model which is not loaded yet will be asked with, as far as its name says.

    Args:
        recipe: see `choose_template`.
        named: see there.
        model: as `Reranker` takes it; None: the recipe's.
        adapter: the folder of a LoRA adapter on it.
    """
    called = (adapter, model if model is not None else recipe.model)
    names = tuple(name for name in called if name is not None)
    has_files = all(Path(name).is_dir() for name in names)
    chats = recipe.backend != "seq2seq"  # a T5 has no chat template
    return choose_template(recipe, named, ModelFacts(names, chats, has_files)).template


@cache
def warn_once(message: str) -> None:
    """Log a warning; the same one again is not logged."""
    logger.warning("%s", message)


def _card(facts: ModelFacts, *, is_dir: bool) -> dict[str, Any] | None:
    """The first card in the model's folders, or on the hub; None where there is none."""
    names = [name for name in facts.names if Path(name).is_dir() == is_dir] if facts.has_files else []
    return next((read_card(name) for name in names if has_card(name)), None)


def _learned(card: dict[str, Any], recipe: Recipe, trained: Template, chat: Template) -> Template | None:
    """The template that a card says its weights were trained with, if it is one of these."""
    for template in (trained, chat):
        if card.get("prompt_sha256") == template.digest:
            return template
    asking = {other.name for other in (recipe, *own_recipes()) if other.template == recipe.template}
    names = {name.partition(":")[0] for name in asking}
    return trained if card["recipe"].partition(":")[0] in names else None


def _is_checkpoint(facts: ModelFacts, recipe: Recipe) -> bool:
    """Whether a model is called as one of the checkpoints that were made for the recipe's template."""
    alike = [other for other in (recipe, *own_recipes()) if other.template == recipe.template]
    checkpoints = [name for other in alike for name in (other.model, *other.checkpoints)]
    known = {checkpoint.rpartition("/")[2].lower() for checkpoint in checkpoints}
    # As a folder, a GGUF file, a quantised copy, a served name with a tag, or a folder of the hub's cache.
    pattern = re.compile(rf"({'|'.join(map(re.escape, sorted(known)))})($|[-_.:@])")
    return any(pattern.match(part) for name in facts.names for part in _called(name))


def _called(name: str) -> list[str]:
    """The last part of a name, and of a folder in the hub's cache the model's name, in lower case."""
    parts = [part for part in re.split(r"[/\\]", name.lower()) if part]
    cached = [part.rpartition("--")[2] for part in parts if part.startswith("models--")]
    return [*parts[-1:], *cached]
