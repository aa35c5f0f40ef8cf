"""The guidelines as numbers: target shares of kinds, difficulties and domains, lengths, purposes."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import cast

from limrank_plugins.checks import finite_number
from limrank_plugins.configuration import checked, parse_toml
from limrank_plugins.errors import InputError
from limrank_plugins.pipes import read_text
from limrank_synth.records import DIFFICULTIES, INTENTS, KINDS, Difficulty, Kind, Target

_WORDS = (*KINDS, "thought", "passage")


@dataclass(frozen=True, slots=True)
class Guidelines:
    """What the set as a whole should look like; see `guidelines.toml` for the meaning of the tables.

    Attributes:
        kind, difficulty: shares, each table summing to 1.
        domain: shares by kind.
        words: least and most words of a `"daily-life"` or `"expert"` query, a `"thought"` (the reasoning
            before any passage is written), a `"passage"`.
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
    where = "the shipped guidelines" if path is None else os.fspath(path)
    try:
        shipped = resources.files(__package__).joinpath("guidelines.toml")
        text = shipped.read_text("utf-8") if path is None else read_text(path)
    except InputError as error:
        raise InputError(f"{where}: the guidelines cannot be read: {error}") from error
    tables = checked(Guidelines, parse_toml(text, where), where)
    for table, names in (("domain", KINDS), ("words", _WORDS), ("meaning", tuple(INTENTS))):
        if set(getattr(tables, table)) != set(names):
            raise InputError(f"{where}: [{table}] must name {', '.join(names)}")
    for name, (least, most) in tables.words.items():
        if not 1 <= least <= most:
            raise InputError(f"{where}: {name!r} in [words] must be [least, most], but is {[least, most]}")
    return replace(
        tables,
        kind=_shares(where, "kind", tables.kind, KINDS),
        difficulty=_shares(where, "difficulty", tables.difficulty, DIFFICULTIES),
        domain={kind: _shares(where, f"domain.{kind}", tables.domain[kind]) for kind in KINDS},
    )


def _shares(
    where: str, table: str, shares: Mapping[str, float], known: tuple[str, ...] | None = None
) -> dict[str, float]:
    unknown = [key for key in shares if known is not None and key not in known]
    if unknown:
        raise InputError(f"{where}: [{table}] names {unknown[0]!r}; there are: {', '.join(known or ())}")
    for key, value in shares.items():
        finite_number(f"{where}: the share of {key!r} in [{table}]", value, least=0)
    total = math.fsum(shares.values())
    if total <= 0:
        raise InputError(f"{where}: the shares in [{table}] sum to 0")
    return {key: value / total for key, value in shares.items()}


def _drawn(shares: Mapping[str, float], rng: random.Random) -> str:
    """One key, by the shares; the same for the same state of the generator on every platform."""
    at, point = 0.0, rng.random()
    for key, share in shares.items():
        at += share
        if point < at:
            return key
    return [key for key, share in shares.items() if share > 0][-1]
