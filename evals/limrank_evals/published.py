"""Numbers that others published, each with its source and its setting, as far as those are known.

They are in `published.toml`, times 100 as printed. A published mean stays a mean: it is a result of the
split `average`. What a source does not say is empty there, and a table then says that it is unknown.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from limrank_evals.identity import Identity, Result


@cache
def published(benchmark: str | None = None) -> tuple[Result, ...]:
    """All published results, or those of one benchmark, in the file's order."""
    text = files("limrank_evals").joinpath("published.toml").read_text("utf-8")
    results = [result for group in tomllib.loads(text)["group"] for result in _results(group)]
    return tuple(r for r in results if benchmark is None or r.identity.benchmark == benchmark)


def _results(group: dict[str, Any]) -> list[Result]:
    """A group: one source, benchmark, measure and setting, with a row of numbers for each system."""
    splits = group["splits"]
    results = []
    for system, numbers in group["rows"].items():
        for split, number in zip(splits, numbers, strict=True):
            identity = Identity(group["benchmark"], split, version="", **group.get("setting", {}))
            source = group["source"]
            results.append(Result(system, identity, {group["measure"]: number / 100}, source=source))
    return results
