"""Fields of classes that users call name their default: type checkers take `Field(None)` for one without."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "limrank_plugins"
CLASSES = ["namespaces/llama_index/postprocessor/limrank/base.py", "langchain.py"]


@pytest.mark.parametrize("file", CLASSES)
def test_defaults_are_named(file: str) -> None:
    calls = [
        node for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    fields = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Field"]
    assert fields
    assert [field.lineno for field in fields if field.args] == []
