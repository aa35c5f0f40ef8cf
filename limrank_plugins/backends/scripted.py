"""A model whose answers you write: for tests of your pipeline, and for ours.

Example:
    >>> from limrank_plugins import Reranker, ScriptedBackend
    >>> backend = ScriptedBackend(read_labels=lambda prompt: (float("acid" in prompt.text), 0.5))
    >>> reranker = Reranker("limrank", backend=backend, reasoning="none")
    >>> reranker.rank("why?", ["bread", "acid curdles milk"]).ids
    ['1', '0']
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from limrank_plugins.backends.protocols import (
    Embedded,
    Encode,
    Failed,
    Generate,
    Generated,
    LabelReading,
    ReadLabels,
    Reply,
    Request,
)
from limrank_plugins.data import Usage
from limrank_plugins.segments import Prompt


class ScriptedBackend:
    """Answers from functions. It can be asked only what it has a function for.

    Args:
        read_labels: prompt → one logit per label.
        generate: prompt → the text written. Text up to a stop string is what comes back; the labels
            behind it are then read with `read_labels`. Longer texts are cut at `max_tokens` words.
        encode: (text, role) → a vector.
        identity: keys stored answers; name it after your script.

    A function that raises `ScriptedFailure` fails that one request; any other error is raised.
    `requests` lists what was asked, `batches` how many requests came at a time.
    """

    name = "scripted"

    def __init__(
        self,
        *,
        read_labels: Callable[[Prompt], Sequence[float]] | None = None,
        generate: Callable[[Prompt], str] | None = None,
        encode: Callable[[str, str], Sequence[float]] | None = None,
        identity: str = "scripted",
    ) -> None:
        self._scripts = (read_labels, generate, encode)
        self.identity = identity
        self.requests: list[Request] = []
        self.batches: list[int] = []
        self._lock = threading.Lock()
        # A capability is there only if it has a script: methods are set, not defined.
        if read_labels is not None:
            self.read_labels = self._answer
        if generate is not None:
            self.generate = self._answer
        if encode is not None:
            self.encode = self._answer

    def _answer(self, requests: Sequence[Request]) -> list[Reply]:
        with self._lock:
            self.requests += requests
            self.batches.append(len(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Reply:
        try:
            if isinstance(request, Encode):
                return self._encoded(request)
            if isinstance(request, Generate):
                return self._generated(request)
            return self._reading(request)
        except ScriptedFailure as failure:
            return Failed(str(failure))

    def _encoded(self, request: Encode) -> Embedded:
        script = self._scripts[2]
        assert script is not None
        return Embedded(np.asarray(script(request.text, request.role), dtype=np.float32))

    def _reading(self, request: ReadLabels) -> LabelReading:
        script = self._scripts[0]
        assert script is not None
        tokens = len(request.prompt.text.split())
        return LabelReading(tuple(float(x) for x in script(request.prompt)), Usage(prompt_tokens=tokens))

    def _generated(self, request: Generate) -> Generated:
        script = self._scripts[1]
        assert script is not None
        text, finish = script(request.prompt), "end"
        places = [place for stop in request.stop if (place := text.find(stop)) != -1]
        if places:
            text, finish = text[: min(places)], "stop"
        words = text.split(" ")
        if len(words) > request.max_tokens:
            text, finish = " ".join(words[: request.max_tokens]), "length"
        reading = None
        if finish == "stop" and request.labels and self._scripts[0] is not None:
            reading = LabelReading(tuple(float(x) for x in self._scripts[0](request.prompt)))
        usage = Usage(prompt_tokens=len(request.prompt.text.split()), generated_tokens=len(text.split()))
        return Generated(text, finish, reading, usage)


class AsyncScriptedBackend(ScriptedBackend):
    """The same with `async` methods, as a served model has them."""

    def __init__(
        self,
        *,
        read_labels: Callable[[Prompt], Sequence[float]] | None = None,
        generate: Callable[[Prompt], str] | None = None,
        encode: Callable[[str, str], Sequence[float]] | None = None,
        identity: str = "scripted",
    ) -> None:
        super().__init__(read_labels=read_labels, generate=generate, encode=encode, identity=identity)
        for method in ("read_labels", "generate", "encode"):
            if hasattr(self, method):
                setattr(self, method, self._answer_later)

    async def _answer_later(self, requests: Sequence[Request]) -> list[Reply]:
        return self._answer(requests)


class ScriptedFailure(Exception):
    """Raise it in a script: that one request fails with this reason."""
