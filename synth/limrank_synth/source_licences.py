"""Whose texts a set holds, and whether it may be used commercially."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from limrank_plugins.errors import InputError
from limrank_synth.records import LabelledPassage, Source


def check_commercial(sources: Mapping[Source, int], allowed: bool) -> None:
    """Refuse a set that may not be used commercially, unless that is allowed.

    A source of which nobody said whether it may (`commercial` is None) counts as one that may not:
    no permission is known. One that you have looked up can be declared, see `declared`.

    Args:
        sources: how many rows each is in.
        allowed: what the user said.

    Raises:
        InputError: it names the sources.
    """
    if allowed:
        return
    forbidden = sorted(source.name for source in sources if source.commercial is False)
    unknown = sorted(source.name for source in sources if source.commercial is None)
    if not forbidden and not unknown:
        return
    problems = []
    if forbidden:
        problems.append(f"not for commercial use: {', '.join(forbidden)}")
    if unknown:
        problems.append(f"not known whether for commercial use, which counts as not: {', '.join(unknown)}")
    raise InputError(
        f"the set would hold rows from sources that are {'; '.join(problems)}. Give "
        f"--allow-non-commercial to build it all the same, or --commercial NAME for a source whose terms "
        f"you have read"
    )


def declared(row: LabelledPassage, commercial: Collection[str]) -> LabelledPassage:
    """The row with its sources of these names, where nothing was known, marked as for commercial use."""
    if not commercial:
        return row
    sources = tuple(
        replace(source, commercial=True)
        if source.commercial is None and source.name in commercial
        else source
        for source in row.sources
    )
    return row if sources == row.sources else replace(row, sources=sources)


def table(sources: Counter[Source]) -> list[dict[str, object]]:
    """The sources as plain data, the most frequent first."""
    ranked = sorted(sources.items(), key=lambda entry: (-entry[1], entry[0].name, entry[0].licence))
    return [
        {"name": source.name, "licence": source.licence, "commercial": source.commercial, "rows": rows}
        for source, rows in ranked
    ]
