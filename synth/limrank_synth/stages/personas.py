"""Who asks: the personas that are shipped, a file like PersonaHub's, or the hub."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from limrank_plugins.errors import InputError, require
from limrank_plugins.files import json_rows, lines_and_kind
from limrank_plugins.readouts.usable import can_be_seen
from limrank_synth.records import Persona, Source

OURS = Source("limrank personas", "MIT", commercial=True)
PERSONA_HUB = Source("PersonaHub", "CC-BY-NC-SA-4.0", commercial=False)


@cache
def shipped_personas() -> tuple[Persona, ...]:
    """Those written for this project."""
    text = resources.files("limrank_synth").joinpath("personas.txt").read_text("utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return tuple(Persona(f"p{number}", line, OURS) for number, line in enumerate(lines, start=1))


def read_personas(path: str | None = None) -> list[Persona]:
    """The shipped ones for None; a `.jsonl` with a field `persona`, a `.txt` with one a line, or `hub:name`.

    A file whose name or dataset has `persona-hub` or `personahub` in it carries PersonaHub's licence.

    Raises:
        InputError: nothing there, or a line without a persona; it is named.
    """
    if path is None:
        return list(shipped_personas())
    squeezed = path.lower().replace("-", "").replace("_", "")
    source = PERSONA_HUB if "personahub" in squeezed else Source(Path(path).name)
    texts = _from_hub(path.removeprefix("hub:")) if path.startswith("hub:") else _from_file(path)
    if not texts:
        raise InputError(f"{path} holds no personas")
    return [Persona(f"{source.name}:{number}", text, source) for number, text in enumerate(texts)]


def check_personas(personas: Sequence[Persona]) -> None:
    """Raise an `InputError` where there is nobody to ask as."""
    if not personas:
        raise InputError("there are no personas: give at least one, or the shipped ones (read_personas())")


def sample(personas: Sequence[Persona], rng: random.Random) -> Persona:
    """One, every one being equally likely."""
    return personas[rng.randrange(len(personas))]


def _from_file(path: str) -> list[str]:
    lines, is_json = lines_and_kind(path, path.removesuffix(".gz").endswith(".jsonl"))
    if not is_json:
        return [line.strip() for _, line in lines]
    texts = []
    for where, row in json_rows(path, lines):
        text = row.get("persona")
        if not isinstance(text, str) or not can_be_seen(text):
            raise InputError(f"{where}: expected a field 'persona' with a text")
        texts.append(text.strip())
    return texts


def _from_hub(name: str) -> list[str]:
    datasets = require("datasets", "synth", "personas from the hub")
    dataset, _, config = name.partition(":")
    try:
        rows = datasets.load_dataset(dataset, config or None, split="train")
    except (OSError, ValueError) as error:
        raise InputError(f"dataset {dataset!r} cannot be had: {error}") from error
    if "persona" not in rows.column_names:
        raise InputError(f"dataset {dataset!r} has no column 'persona'; there are: {rows.column_names}")
    return [str(text) for text in rows["persona"]]
