"""The table of docs/recipes.md that is made of what `limrank recipes --json` prints.

`limrank recipes --json | python docs/site/recipe_table.py` writes it anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "recipes.md"
_BEGIN, _END = "<!-- made by docs/site/recipe_table.py -->\n", "<!-- end -->\n"
_COLUMNS = ("recipe", "model calls", "tokens", "score", "checkpoint", "paper", "its licence")


def recipe_table(recipes: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown of recipes as `limrank recipes --json` describes them."""
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *(_line(_cells(recipe)) for recipe in recipes)]
    return "".join(lines)


def table_of(page: str) -> str:
    """The table that stands in the page."""
    return page.partition(_BEGIN)[2].partition(_END)[0]


def _cells(recipe: Mapping[str, Any]) -> list[str]:
    comparable = "comparable" if recipe["comparable"] else "not comparable"
    return [
        f"`{recipe['name']}`",
        recipe["calls"],
        recipe["tokens"],
        f"{recipe['score_kind']}, {comparable}",
        f"`{recipe['model']}`" if recipe["model"] else "",
        re.sub(r"arXiv:(\d{4}\.\d{5})", r"[\1](https://arxiv.org/abs/\1)", recipe["paper"]),
        recipe["licence"],
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    PAGE.write_text(text.replace(table_of(text), recipe_table(json.load(sys.stdin))), "utf-8")
