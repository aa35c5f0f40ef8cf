"""The map names files that are there, and every room says what it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("limrank_plugins", "pipelines", "synth", "training", "evals")
BASES = (ROOT, ROOT / "limrank_plugins", *(ROOT / room / f"limrank_{room}" for room in ROOMS[1:]))


def named_files(text: str) -> set[str]:
    """What stands in backticks and looks like a file or a folder of ours."""
    quoted = re.findall(r"`([A-Za-z_./-]+)`", text)
    return {
        name for name in quoted if "NAME" not in name and ("/" in name or name.endswith((".py", ".toml")))
    }


@pytest.mark.parametrize(
    "page", [ROOT / "docs" / "architecture.md", *(ROOT / room / "README.md" for room in ROOMS)], ids=str
)
def test_every_file_that_is_named_is_there(page: Path):
    names = named_files(page.read_text("utf-8"))
    # A room's own page may name a file without the folder that it has just spoken of.
    own = {file.name for file in page.parent.rglob("*.py")} if page.name == "README.md" else set()
    missing = [
        name
        for name in sorted(names - own)
        if not any((base / name).exists() for base in (page.parent, *BASES))
    ]
    assert names
    assert missing == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_page_is_short(room: str):
    assert len((ROOT / room / "README.md").read_text("utf-8").splitlines()) <= 60
