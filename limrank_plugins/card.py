"""The recipe card in a checkpoint's folder (`limrank.json`): how its weights want to be asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.hub import hub_or_cache
from limrank_plugins.calibration import Calibration
from limrank_plugins.errors import InputError, require
from limrank_plugins.files import read_json
from limrank_plugins.outputs import write_json
from limrank_plugins.prompts import Template

CARD = "limrank.json"

_ARGUMENTS = ("recipe", "reasoning", "instruction", "max_reasoning_tokens", "calibration")


def read_card(path_or_name: str) -> dict[str, Any]:
    """The card of a folder, or of a hub model.

    Raises:
        InputError: there is none, or it is not a JSON object that names its recipe.
    """
    folder = Path(path_or_name)
    file = folder / CARD if folder.exists() or path_or_name.endswith(".gguf") else _from_hub(path_or_name)
    if not file.is_file():
        raise InputError(
            f"{folder} has no {CARD}: name the recipe yourself, "
            f"as in Reranker('limrank', model={path_or_name!r})"
        )
    card = read_json(file)
    if not isinstance(card, dict) or not isinstance(card.get("recipe"), str):
        raise InputError(f"{file} must be a JSON object that names its 'recipe'")
    return card


def has_card(path_or_name: str) -> bool:
    """Whether a folder, or a hub model that is named as `org/name`, has a card; not whether it is valid."""
    if Path(path_or_name).is_dir():
        return (Path(path_or_name) / CARD).is_file()
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", path_or_name) or Path(path_or_name).exists():
        return False
    try:
        return _from_hub(path_or_name).is_file()
    except InputError:
        return False


def card_arguments(card: dict[str, Any]) -> dict[str, Any]:
    """Those entries of a card that are arguments of `Reranker`."""
    return {key: card[key] for key in _ARGUMENTS if key in card}


def read_card_of(folder: str | Path, recipe: str) -> dict[str, Any]:
    """The card of a checkpoint's folder into which a calibration for this recipe may be written.

    Raises:
        InputError: there is no card, or it is another recipe's.
    """
    card = read_card(str(folder))
    if card["recipe"] != recipe:
        raise InputError(
            f"{folder} has the card of recipe {card['recipe']!r}, but the calibration is for {recipe!r}"
        )
    return card


def add_to_card(folder: str | Path, calibration: Calibration) -> None:
    """Write a calibration into the card of a checkpoint's folder, for `Reranker.from_pretrained`.

    Raises:
        InputError: there is no card, or it is another recipe's.
    """
    card = read_card_of(folder, calibration.recipe)
    write_json(Path(folder) / CARD, card | {"calibration": calibration.as_json()})


def check_card(card: dict[str, Any], template: Template | None, source: str) -> None:
    """Raise an `InputError` if the weights were made for other labels or another template."""
    if template is None:
        return
    labels = card.get("labels")
    if labels is not None and tuple(labels) != template.labels:
        raise InputError(
            f"{source} was made for the labels {labels}, but the template has {list(template.labels)}"
        )
    digest = card.get("prompt_sha256")
    if digest is not None and digest != template.digest:
        raise InputError(
            f"{source} was trained with another text of template {template.name!r} (sha256 {digest[:12]}…, "
            f"here {template.digest[:12]}…): pass template=… with the template it was trained with"
        )


def _from_hub(name: str) -> Path:
    hub = require("huggingface_hub", "transformers", "Reranker.from_pretrained")
    try:
        with hub_or_cache(name):
            return Path(hub.hf_hub_download(name, CARD))
    except (OSError, ValueError) as error:
        raise InputError(f"{name!r} is neither a folder nor a hub model with a {CARD}: {error}") from error
