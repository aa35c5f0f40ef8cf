"""What the Dockerfile and the compose file name exists: extras, options, paths. Neither is run here."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from limrank_plugins.cli import whole_command
from limrank_plugins.reranker import Reranker
from limrank_plugins.server.guards import OPEN

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install 'limrank[training]'")

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "packaging" / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def instruction(name: str) -> str:
    """The last one of its kind, its lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)[-1].strip()


def words(entry: Any) -> list[str]:
    """A command, whose options stand for what `limrank serve` takes."""
    known = {name for parameter in whole_command().commands["serve"].params for name in parameter.opts}
    options = [word.partition("=")[0] for word in entry if word.startswith("--")]
    assert set(options) <= known
    return [part for word in entry for part in (word.split("=", 1) if word.startswith("--") else [word])]


def test_the_image_runs_the_server_without_rights_and_says_whether_it_is_ready():
    assert json.loads(instruction("ENTRYPOINT")) == ["limrank", "serve"]
    assert words(json.loads(instruction("CMD"))) == ["--host", "0.0.0.0"]
    assert re.search(r"useradd --uid 10001 \S+ limrank", DOCKERFILE)
    assert DOCKERFILE.index("\nUSER limrank\n") > DOCKERFILE.index("\nRUN ")
    path = re.search(r"http://127\.0\.0\.1:8080(/\w+)", instruction("HEALTHCHECK"))
    assert path is not None
    assert path[1] in OPEN


def test_extras_and_versions_are_those_there_are():
    extras = PROJECT["optional-dependencies"]
    built = COMPOSE["services"]["limrank"]["build"]["args"]["EXTRAS"]
    default = re.search(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)
    python = re.search(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert default is not None
    assert python is not None
    assert {*built.split(","), *default[1].split(",")} <= extras.keys()
    assert f"Programming Language :: Python :: {python[1]}" in PROJECT["classifiers"]
    vllm = COMPOSE["services"]["vllm"]["image"].removeprefix("vllm/vllm-openai:v")
    assert Requirement(extras["vllm"][0]).specifier.contains(vllm)


def test_what_is_sent_to_the_builder_is_all_that_a_wheel_is_built_of():
    sent = {line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().split() if line[0] == "!"}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    folders = {package.split("/")[0] for package in packages["targets"]["wheel"]["packages"]}
    assert sent == folders | {"LICENSE", "README.md", "constraints.txt", "pyproject.toml"}
    assert all((ROOT / name).exists() for name in sent)
    build = COMPOSE["services"]["limrank"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_the_server_asks_the_model_beside_it():
    model, server = COMPOSE["services"]["vllm"], COMPOSE["services"]["limrank"]
    command = words(server["command"])
    given = dict(zip(command[::2], command[1::2], strict=True))
    options = dict(command[i + 1].split("=", 1) for i, word in enumerate(command) if word == "--option")
    assert options == {"base_url": "http://vllm:8000/v1", "tokenizer": given["--model"]}
    assert given["--model"] == model["command"][0]
    assert given["--token-file"] == "/run/secrets/limrank_tokens"
    assert server["secrets"] == list(COMPOSE["secrets"]) == ["limrank_tokens"]
    assert server["ports"] == ["127.0.0.1:8080:8080"]
    del options["tokenizer"]
    reranker = Reranker(given["--recipe"], given["--model"], given["--backend"], **options)
    assert reranker.backend.name == "openai"
    reranker.close()
