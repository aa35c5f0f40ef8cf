"""What the tests of `limrank synth run` share: a workplace with a scripted server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import LoopbackServer
from synth_command import SECRET, Workplace
from synth_server import ScriptedModel


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def server(model: ScriptedModel) -> Iterator[LoopbackServer]:
    with LoopbackServer(model, remember=False) as server:
        yield server


@pytest.fixture
def place(_key: None, tmp_path: Path, server: LoopbackServer, model: ScriptedModel) -> Workplace:
    return Workplace(tmp_path, server, model, seeds=3)
