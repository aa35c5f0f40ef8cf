"""The guidelines as numbers: target shares of kinds, difficulties and domains, lengths, purposes."""

from __future__ import annotations

import math
import os
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from limrank_plugins.errors import InputError
from limrank_synth.records import DIFFICULTIES, INTENTS, KINDS, Difficulty, Kind, Target

_TABLES = {"kind", "difficulty", "domain", "words", "meaning"}
_WORDS = (*KINDS, "thought", "passage")


@dataclass(frozen=True, slots=True)
class Guidelines:
    """What the set as a whole should look like; see `guidelines.toml` for the meaning of the tables.

    Attributes:
        kind, difficulty: shares, each table summing to 1.
        domain: shares by kind.
        words: least and most words of a `"daily-life"` or `"expert"` query, a `"thought"`, a `"passage"`.
        meaning: what a passage's purpose is, by the intent's name.
    """

    kind: Mapping[str, float]
    difficulty: Mapping[str, float]
    domain: Mapping[str, Mapping[str, float]]
    words: Mapping[str, tuple[int, int]]
    meaning: Mapping[str, str]

    def draw(self, kind: Kind, rng: random.Random) -> Target:
        """A target of this kind, drawn by the shares."""
        difficulty = cast(Difficulty, _drawn(self.difficulty, rng))
        return Target(kind, _drawn(self.domain[kind], rng), difficulty)


def load_guidelines(path: str | os.PathLike[str] | None = None) -> Guidelines:
    """The shipped guidelines, or those of a TOML file with the same tables.

    Raises:
        InputError: the file is not there, not TOML, or a table is missing, unknown or senseless.
    """
    name = "the shipped guidelines" if path is None else os.fspath(path)
    try:
        if path is None:
            text = resources.files(__package__).joinpath("guidelines.toml").read_text("utf-8")
        else:
            text = Path(path).read_text("utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{name}: the guidelines cannot be read: {error}") from error
    if set(tables) != _TABLES:
        raise InputError(f"{name}: the tables must be {sorted(_TABLES)}, but are {sorted(tables)}")
    domain = tables["domain"]
    if not isinstance(domain, dict) or set(domain) != set(KINDS):
        raise InputError(f"{name}: [domain] needs a table for each of {', '.join(KINDS)}")
    words = tables["words"]
    if set(words) != set(_WORDS):
        raise InputError(f"{name}: [words] must name {', '.join(_WORDS)}, but names {', '.join(words)}")
    if set(tables["meaning"]) != set(INTENTS):
        raise InputError(f"{name}: [meaning] must name {', '.join(INTENTS)}")
    return Guidelines(
        kind=_shares(name, "kind", tables["kind"], KINDS),
        difficulty=_shares(name, "difficulty", tables["difficulty"], DIFFICULTIES),
        domain={kind: _shares(name, f"domain.{kind}", domain[kind]) for kind in KINDS},
        words={key: _range(name, key, value) for key, value in words.items()},
        meaning={key: str(value) for key, value in tables["meaning"].items()},
    )


def _shares(name: str, table: str, given: Any, known: tuple[str, ...] | None = None) -> dict[str, float]:
    if not isinstance(given, dict) or not given:
        raise InputError(f"{name}: [{table}] must be a table of shares")
    unknown = [key for key in given if known is not None and key not in known]
    if unknown:
        raise InputError(f"{name}: [{table}] names {unknown[0]!r}; there are: {', '.join(known or ())}")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InputError(f"{name}: the share of {key!r} in [{table}] must be >= 0, but is {value!r}")
    total = math.fsum(given.values())
    if total <= 0:
        raise InputError(f"{name}: the shares in [{table}] sum to 0")
    return {key: value / total for key, value in given.items()}


def _range(name: str, key: str, value: Any) -> tuple[int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(n, int) and not isinstance(n, bool) for n in value)
        or not 1 <= value[0] <= value[1]
    ):
        raise InputError(f"{name}: {key!r} in [words] must be [least, most], but is {value!r}")
    return value[0], value[1]


def _drawn(shares: Mapping[str, float], rng: random.Random) -> str:
    """One key, by the shares; the same for the same state of the generator on every platform."""
    at, point = 0.0, rng.random()
    for key, share in shares.items():
        at += share
        if point < at:
            return key
    return [key for key, share in shares.items() if share > 0][-1]
