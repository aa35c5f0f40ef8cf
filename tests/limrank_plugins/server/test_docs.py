"""What docs/server.md shows is what works: its examples, its commands, its tables."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from needs import needs_mini
from serving import serving

from limrank_plugins import Reranker
from limrank_plugins.cli import whole_command
from limrank_plugins.server import Limits, sample_corpus
from limrank_plugins.server.named_reranker import warm_up
from limrank_plugins.server.schemas import RerankAnswer, RerankRequest
from limrank_plugins.server.tool_schemas import (
    FoundPassage,
    RankedResult,
    RerankCall,
    RerankResult,
    SearchCall,
    SearchResult,
)

PAGE = (Path(__file__).parents[3] / "docs" / "server.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TOOLS = [example for example in EXAMPLES if "from mcp import" in example]
CONFIGURATIONS = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
ADDRESS = "http://localhost:8080"
SERVE: Any = whole_command().commands["serve"]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading, without its first two lines."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def named(cells: list[list[str]]) -> set[str]:
    return {name for row in cells for name in re.findall(r"`(\w+)`", row[0])}


@needs_mini
@pytest.mark.parametrize("example", [e for e in EXAMPLES if e not in TOOLS], ids=range(len(EXAMPLES) - 1))
def test_examples_run(example: str, capsys: pytest.CaptureFixture[str]):
    reranker = Reranker("mini")
    warm_up(reranker)
    with serving({"mini": reranker}, corpora={"samples": sample_corpus()}) as service:
        exec(compile(example.replace(ADDRESS, service.url), "docs/server.md", "exec"), {})
    printed = capsys.readouterr().out
    said = ("[1, 0]", "['/rerank', '/v1/rerank', '/v2/rerank']", "Jet lag is worse when flying east")
    assert any(words in printed for words in said)


def test_there_are_examples():
    assert len(EXAMPLES) == 6
    assert len(TOOLS) == len(CONFIGURATIONS) == 1
    assert sum(ADDRESS in example for example in EXAMPLES) == 4


@needs_mini
def test_the_tools_answer_as_shown(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("mcp", reason="the MCP SDK is not installed: pip install 'limrank[mcp]'")
    from limrank_plugins.server.tools import ToolServer

    tools = ToolServer({"mini": Reranker("mini")}, {}, limits=Limits(), depth=10)
    example = TOOLS[0].replace("stdio_client(limrank)", "SERVER")
    exec(compile(example, "docs/server.md", "exec"), {"SERVER": tools.server})
    assert capsys.readouterr().out == "[1, 0]\n"


def test_commands_are_commands():
    commands = [*COMMANDS, *(shlex.join(["limrank", *entry["args"]]) for entry in configured())]
    assert len(commands) == 6
    for command in commands:
        words = shlex.split(command)
        assert words[:2] == ["limrank", "serve"]
        found = SERVE.commands["mcp"] if words[2:3] == ["mcp"] else SERVE
        known = {name for parameter in found.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def configured() -> list[dict[str, Any]]:
    """The entries of agents' configurations."""
    return [entry for text in CONFIGURATIONS for entry in json.loads(text)["mcpServers"].values()]


def test_tools_take_and_give_back_what_is_listed():
    section = dict(zip(("search", "rerank"), rows("Tools for agents: MCP")[2:], strict=True))
    for name, takes, gives, result in (
        ("search", SearchCall, SearchResult, FoundPassage), ("rerank", RerankCall, RerankResult, RankedResult)
    ):  # fmt: skip
        _, taken, given = section[name]
        assert set(re.findall(r"`(\w+)`", taken)) == set(takes.model_fields)
        outer, inner = given.split("; a result is ")
        assert set(re.findall(r"`(\w+)`", outer)) == set(gives.model_fields)
        assert set(re.findall(r"`(\w+)`", inner)) == set(result.model_fields)


def test_limits_are_those_there_are():
    options = {name: parameter for parameter in SERVE.params for name in parameter.opts}
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
