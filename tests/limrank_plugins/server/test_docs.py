"""What docs/server.md shows is what works: its examples, its commands, its tables."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from needs import needs_mini
from serving import serving

from limrank_plugins import Reranker
from limrank_plugins.cli import whole_command
from limrank_plugins.server import Limits, sample_corpus
from limrank_plugins.server.named_reranker import warm_up
from limrank_plugins.server.schemas import RerankAnswer, RerankRequest

PAGE = (Path(__file__).parents[3] / "docs" / "server.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
ADDRESS = "http://localhost:8080"


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading, without its first two lines."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def named(cells: list[list[str]]) -> set[str]:
    return {name for row in cells for name in re.findall(r"`(\w+)`", row[0])}


@needs_mini
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_run(example: str, capsys: pytest.CaptureFixture[str]):
    reranker = Reranker("mini")
    warm_up(reranker)
    with serving({"mini": reranker}, corpora={"samples": sample_corpus()}) as service:
        exec(compile(example.replace(ADDRESS, service.url), "docs/server.md", "exec"), {})
    printed = capsys.readouterr().out
    said = ("[1, 0]", "['/rerank', '/v1/rerank', '/v2/rerank']", "Jet lag is worse when flying east")
    assert any(words in printed for words in said)


def test_there_are_examples():
    assert len(EXAMPLES) == 5
    assert sum(ADDRESS in example for example in EXAMPLES) == 4


def test_commands_are_commands():
    serve = whole_command().commands["serve"]
    known = {name for parameter in serve.params for name in parameter.opts}
    assert len(COMMANDS) == 3
    for command in COMMANDS:
        words = shlex.split(command)
        assert words[:2] == ["limrank", "serve"]
        assert {word for word in words if word.startswith("--")} <= known


def test_limits_are_those_there_are():
    serve = whole_command().commands["serve"]
    options = {name: parameter for parameter in serve.params for name in parameter.opts}
    listed = [row for row in rows("Errors") if len(row) == 4 and row[2].startswith("`--")]
    assert [row[1].strip("`") for row in listed] == [
        "body", "documents", "document_characters", "characters", "query_characters", "queue", "seconds",
    ]  # fmt: skip
    defaults = {field.name: field.default for field in fields(Limits)}
    for _, name, option, default in listed:
        value = defaults[name.strip("`")]
        assert f"{value:,.0f}" == default
        assert options[option.strip("`")].default == value


def test_fields_are_those_there_are():
    assert named(rows("What is asked")) == set(RerankRequest.model_fields)
    assert named(rows("What is answered")) == set(RerankAnswer.model_fields)
