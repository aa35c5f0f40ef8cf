"""Scripted models behind the backend table, so that components are built as a pipeline file builds them."""

from __future__ import annotations

import math
import os
import re
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from limrank_plugins import AsyncScriptedBackend, ScriptedBackend, backends
from limrank_plugins.segments import Prompt

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # before haystack is imported: no test calls home


def stated(prompt: Prompt) -> tuple[float, float]:
    """Logits whose probability is the number that the passage states, as in `relevance 0.8`."""
    passage = next(segment.text for segment in prompt.segments if segment.cuttable)
    p = float(re.findall(r"relevance ([\d.]*\d)", passage)[-1])
    return (math.log(p), math.log1p(-p))


class Scripted:
    """What `backend="scripted"` and `backend="served"` build while a test runs."""

    def __init__(self) -> None:
        self.read_labels: Callable[[Prompt], Sequence[float]] | None = stated
        self.generate: Callable[[Prompt], str] | None = lambda prompt: "Because.</think> true"
        self.on_load: Callable[[], None] = lambda: None
        self.made: list[ScriptedBackend] = []
        self.options: list[dict[str, Any]] = []
        self.closed = 0
        self.sees: bool | None = None

    @property
    def prompts(self) -> list[str]:
        return [request.prompt.text for backend in self.made for request in backend.requests]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    script = Scripted()

    def build(base: type[ScriptedBackend]) -> type[ScriptedBackend]:
        class Made(base):
            def __init__(
                self,
                model: str,
                *,
                device: str | None = None,
                token: str | None = None,
                api_key: str | None = None,
                base_url: str | None = None,
                dtype: str | None = None,
            ) -> None:
                script.on_load()
                super().__init__(read_labels=script.read_labels, generate=script.generate)
                self.shows_images = script.sees
                given = {"device": device, "token": token, "api_key": api_key, "base_url": base_url}
                script.options.append({"model": model, "dtype": dtype, **given})
                script.made.append(self)

            def close(self) -> None:
                script.closed += 1

        return Made

    class Bare(build(ScriptedBackend)):
        """Takes neither a device nor an address nor keys."""

        def __init__(self, model: str) -> None:
            super().__init__(model)

    module = types.ModuleType("scripted_for_haystack")
    module.Scripted, module.Served, module.Bare = build(ScriptedBackend), build(AsyncScriptedBackend), Bare
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, attribute in (("scripted", "Scripted"), ("served", "Served"), ("bare", "Bare")):
        monkeypatch.setitem(backends._BACKENDS, name, (module.__name__, attribute))
    return script


class LoopMustRun:
    """Called by a worker; returns once the event loop has run, which a blocked loop never does."""

    def __init__(self) -> None:
        self.calls = 0
        self._loop: Any = None

    def watch(self, loop: Any) -> None:
        self._loop = loop

    def __call__(self) -> None:
        turned = threading.Event()
        self._loop.call_soon_threadsafe(turned.set)
        if not turned.wait(timeout=20):
            raise AssertionError("the event loop is blocked")
        self.calls += 1


@pytest.fixture
def loop_must_run() -> LoopMustRun:
    return LoopMustRun()
