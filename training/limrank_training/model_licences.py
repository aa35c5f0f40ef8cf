"""Whose licences bind a trained model: those of its base and of all that went into its rows."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.gguf_header import read_header
from limrank_plugins.backends.local.sources import gguf_file
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json_object
from limrank_plugins.wording import number_of
from limrank_training.data.row_fields import read_rows

REPORTS = ("export.json", "mix.json", "report.json")
"""What a synthesis leaves beside its rows; each may have a table `licences`."""


def data_licences(rows: str | os.PathLike[str]) -> dict[str, str]:
    """By source, its licence and how many rows it went into; empty where nobody said.

    Each row says so itself (`sources`: a list of `name` and `licence`; or `licence` alone), or a report in
    the file's folder does (`export.json`, `mix.json`, `report.json`: a list `licences`).

    Args:
        rows: the file that is trained on.

    Raises:
        InputError: a row's sources, or a report, are not as they should be.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for where, row in read_rows(rows):
        counts.update(set(_sources(row, where)))
    if not counts:
        for name in REPORTS:
            report = Path(rows).parent / name
            if report.is_file():
                counts.update(dict(_reported(report)))
                break
    by_name: dict[str, list[str]] = {}
    for (name, licence), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        by_name.setdefault(name, []).append(f"{licence} ({number_of(count, 'row')})")
    return {name: "; ".join(licences) for name, licences in by_name.items()}


def base_licence(base: str) -> str:
    """What the base's own model card says, or where to look."""
    card = Path(base) / "README.md"
    if card.is_file():
        head = re.match(r"---\n(.*?)\n---", card.read_text("utf-8", "replace"), re.DOTALL)
        match = re.search(r"^license(?:_name)?: *(\S.*)$", head[1], re.MULTILINE) if head else None
        if match:
            return match[1].strip().strip("\"'")
    if Path(base).is_dir():
        return "not stated in its folder"
    file = gguf_file(base)
    if file is not None:
        return str(read_header(file).metadata.get("general.license", "not stated in its file"))
    return f"see https://huggingface.co/{base}"


def _sources(row: Mapping[str, Any], where: str) -> Iterable[tuple[str, str]]:
    sources = row.get("sources")
    if sources is None:
        licence = row.get("licence")
        return [("rows", str(licence))] if licence else []
    if not isinstance(sources, list) or not all(
        isinstance(source, dict) and "name" in source for source in sources
    ):
        raise InputError(f"{where}: 'sources' must be a list of tables with 'name' and 'licence'")
    return [(str(source["name"]), str(source.get("licence", "unknown"))) for source in sources]


def _reported(report: Path) -> Iterable[tuple[tuple[str, str], int]]:
    try:
        listed = read_json_object(report).get("licences", [])
        return [((str(entry["name"]), str(entry["licence"])), int(entry["rows"])) for entry in listed]
    except InputError:
        raise
    except (ValueError, AttributeError, TypeError, KeyError, OverflowError) as error:
        raise InputError(f"{report}: 'licences' must be a list of name, licence and rows") from error
