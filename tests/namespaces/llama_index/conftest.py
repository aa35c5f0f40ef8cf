"""What the LlamaIndex tests share. Imports of LlamaIndex are late: without it the modules skip."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from limrank_plugins import ScriptedBackend

# A blocked event loop fails a test after this many seconds; a free one never waits.
PATIENCE = 20


class Gate:
    """A worker waits in it until the running event loop opens it: a blocked loop never does."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open = threading.Event()

    def wait(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)
        if not self._open.wait(PATIENCE):
            raise AssertionError("the event loop was blocked")


@pytest.fixture
def gate_class() -> type[Gate]:
    return Gate


@pytest.fixture
def observed() -> Iterator[SimpleNamespace]:
    """Every event and span that LlamaIndex's root dispatcher sees, as (name, object) pairs."""
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.instrumentation.span import SimpleSpan
    from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler

    seen = SimpleNamespace(events=[], entered=[], left=[], dropped=[])

    class Events(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.events.append(event)

    class Spans(SimpleSpanHandler):
        def new_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan:
            seen.entered.append(id_)
            return super().new_span(id_, *args, **kwargs)

        def prepare_to_exit_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan:
            seen.left.append(id_)
            return super().prepare_to_exit_span(id_, *args, **kwargs)

        def prepare_to_drop_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan:
            seen.dropped.append(id_)
            return super().prepare_to_drop_span(id_, *args, **kwargs)

    root = get_dispatcher()
    before = list(root.event_handlers), list(root.span_handlers)
    root.add_event_handler(Events())
    root.add_span_handler(Spans())
    yield seen
    root.event_handlers, root.span_handlers = before


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Makes backends that are given by name scripted ones; lists the arguments of each that is built."""
    from scripts import logits, thought

    given: list[dict[str, Any]] = []

    class Built(ScriptedBackend):
        def __init__(self, model: str | None = None, **options: Any) -> None:
            super().__init__(read_labels=logits, generate=thought)
            given.append({"model": model, **options})

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Built)
    return given
