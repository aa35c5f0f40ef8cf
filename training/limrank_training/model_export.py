"""What a run leaves for others: merged weights or the adapter, with the card that says how to ask them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.loading import pretrained
from limrank_plugins.backends.local.sources import checked_source, is_gguf
from limrank_plugins.card import CARD
from limrank_plugins.errors import InputError, require
from limrank_plugins.folders import whole_folder
from limrank_plugins.prompts import Template
from limrank_plugins.recipes import load_recipe
from limrank_training.model_licences import base_licence
from limrank_training.plans import Plan


def export(
    model: Any,
    tokenizer: Any,
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    merge: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder that `Reranker.from_pretrained` and vLLM read without flags.

    It is written whole or not at all; an earlier export there is replaced, nothing else is.

    Args:
        model: as `fine_tune` returned it. Merging changes it, and turns it into the plan's precision.
        tokenizer: with the plan's tokens.
        plan: what was trained.
        folder: where to.
        merge: add the adapters to the weights, or write the adapters alone.
        facts: for the model card: rows, licences, metrics.

    Raises:
        InputError: the folder holds something that is no export, or adapters are wanted and there are none.
    """
    has_adapters = hasattr(model, "merge_and_unload")
    if not merge and not has_adapters:
        raise InputError("there are no adapters to write: the plan trains all weights")

    def write(place: Path) -> None:
        whole = model.merge_and_unload() if merge and has_adapters else model
        if merge:
            whole = whole.to(getattr(require("torch", "training", "export"), plan.precision))
        # Beside a base without a config.json peft cannot see that the vocabulary has grown.
        grown = {} if merge else {"save_embedding_layers": _grown(whole, plan)}
        whole.save_pretrained(place, safe_serialization=True, **grown)
        tokenizer.save_pretrained(place)

    return write_export(folder, recipe_card(plan), model_card(plan, facts or {}, merge), write)


def _grown(model: Any, plan: Plan) -> bool | str:
    """Whether the base has fewer tokens, so that embeddings belong to the adapters; `"auto"`: peft looks."""
    base = checked_source(plan.base)
    if (plan.lora is not None and plan.lora.embeddings) or not is_gguf(base):
        return "auto"
    return bool(pretrained("AutoConfig", base).vocab_size < model.config.vocab_size)


def write_export(
    folder: str | os.PathLike[str], card: dict[str, Any], readme: str, write: Callable[[Path], None]
) -> Path:
    """Write an export whole or not at all; an earlier one there is replaced, nothing else is.

    Args:
        folder: where to.
        card: how the weights want to be asked.
        readme: the model card.
        write: writes weights and tokenizer into a folder.

    Raises:
        InputError: the folder holds something that is no export.
    """
    target = Path(folder)
    replaced = os.listdir(target) if (target / CARD).is_file() else []
    with whole_folder(target, replaced) as place:
        write(Path(place))
        (Path(place) / CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        (Path(place) / "README.md").write_text(readme, "utf-8")
    return target


def recipe_card(plan: Plan) -> dict[str, Any]:
    """How the weights want to be asked: recipe, reasoning, labels and the digest of the prompt's wording."""
    template = template_of(plan)
    return {
        "recipe": plan.recipe,
        "reasoning": "full" if plan.reasoning else "none",
        "labels": list(template.labels),
        "prompt_sha256": template.digest,
        "plan": plan.name,
        "base": plan.base,
    }


def template_of(plan: Plan) -> Template:
    """The prompt that the plan's recipe asks with.

    Raises:
        InputError: the recipe has none, so there is nothing to learn.
    """
    template = load_recipe(plan.recipe).load_template()
    if template is None:
        raise InputError(f"recipe {plan.recipe!r} has no prompt, so nothing can be learned")
    return template


def model_card(plan: Plan, facts: Mapping[str, Any], merged: bool) -> str:
    """A README with what is known: base, plan, data, licences, metrics."""
    library = "transformers" if merged else "peft"
    lines = [
        "---",
        f"base_model: {plan.base}",
        f"library_name: {library}",
        "tags: [limrank, reranker]",
        "---",
    ]
    lines += ["", f"# {plan.name}", ""]
    if plan.about:
        lines += [plan.about, ""]
    lines += ["```python", "from limrank_plugins import Reranker", ""]
    lines += ['reranker = Reranker.from_pretrained(".")', "```", ""]
    data = facts.get("Data")
    bound = data.get("licences", "not stated") if isinstance(data, Mapping) else "not stated"
    of_rows = bound.items() if isinstance(bound, Mapping) else [("rows", bound)]
    lines += ["## Licences", "", "All of them bind the model.", "", f"- base: {base_licence(plan.base)}"]
    lines += [*(f"- {name}: {licence}" for name, licence in of_rows), ""]
    lines += ["## Training", ""]
    for name, value in _flat(plan.as_json()):
        lines.append(f"- {name}: {value}")
    if plan.disagrees:
        lines += ["", "Where the sources disagree:", "", *(f"- {line}" for line in plan.disagrees)]
    for title, held in facts.items():
        lines += ["", f"## {title}", ""]
        pairs = _flat(held) if isinstance(held, Mapping) else [("", held)]
        lines += [f"- {name}: {value}" if name else str(value) for name, value in pairs]
    return "\n".join(lines) + "\n"


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    settings: list[tuple[str, Any]] = []
    for key, value in table.items():
        if key in ("about", "disagrees", "name", "licences") and not before:
            continue
        if isinstance(value, Mapping):
            settings += _flat(value, f"{before}{key}.")
        else:
            settings.append((f"{before}{key}", value))
    return settings
