"""The examples in docs/served-models.md run as they stand, against a server on loopback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from decision_servers import system_one
from rerank_servers import cohere_like
from servers import Call, LoopbackServer, toy

PAGE = Path(__file__).parents[3] / "docs" / "served-models.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def any_server(call: Call) -> object:
    if call.path.endswith("/systemone"):
        return system_one(call)
    return cohere_like(call) if call.path.endswith("/rerank") else toy(call)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_run(example: str, capsys: pytest.CaptureFixture[str]):
    with LoopbackServer(any_server) as server:
        assert "http://localhost:8000/v1" in example
        exec(compile(example.replace("http://localhost:8000/v1", server.url), str(PAGE), "exec"), {})
        assert "['" in capsys.readouterr().out
        assert len(server.calls) >= 1


def test_there_are_examples():
    assert len(EXAMPLES) == 4
