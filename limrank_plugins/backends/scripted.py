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
from typing import Any

import numpy as np

from limrank_plugins.backends.protocols import (
    Arrived,
    Attend,
    Attended,
    Classify,
    Embedded,
    Encode,
    Failed,
    Forget,
    Generate,
    Generated,
    LabelReading,
    Likelihood,
    Numbers,
    ReadLabels,
    Reply,
    Request,
    ScorePair,
)
from limrank_plugins.data import Usage
from limrank_plugins.segments import Prompt


class ScriptedBackend:
    """Answers from functions. It can be asked only what it has a function for.

    Args:
        read_labels: prompt → one logit per label.
        generate: prompt → the text written, or (reasoning, text) as from a server that returns the two
            apart. Text up to a stop string is what comes back; the labels behind it are then read with
            `read_labels`. Longer texts are cut at `max_tokens` words.
        encode: (text, role) → a vector; (text, role, images) where there are images.
        score_pairs: (query, passage) → a score.
        classify: (text, labels) → one logit per label.
        likelihood: (prompt, continuation) → the log-probability of each of its tokens.
        attend: prompt → for each cuttable segment, the attention paid to each of its tokens.
        identity: keys stored answers; name it after your script.

    A function that raises `ScriptedFailure` fails that one request; any other error is raised.
    `requests` lists what was asked, `batches` how many requests came at a time.
    """

    name = "scripted"

    def __init__(
        self,
        *,
        read_labels: Callable[[Prompt], Sequence[float]] | None = None,
        generate: Callable[[Prompt], str | tuple[str, str]] | None = None,
        encode: Callable[..., Sequence[float]] | None = None,
        score_pairs: Callable[[str, str], float] | None = None,
        classify: Callable[[str, tuple[str, ...]], Sequence[float]] | None = None,
        likelihood: Callable[[Prompt, str], Sequence[float]] | None = None,
        attend: Callable[[Prompt], Sequence[Sequence[float]]] | None = None,
        identity: str = "scripted",
    ) -> None:
        scripts: dict[str, Callable[..., Any] | None] = {
            "read_labels": read_labels,
            "generate": generate,
            "encode": encode,
            "score_pairs": score_pairs,
            "classify": classify,
            "likelihood": likelihood,
            "attend": attend,
        }
        self._scripts = {name: script for name, script in scripts.items() if script is not None}
        self.identity = identity
        self.requests: list[Request] = []
        self.batches: list[int] = []
        self._lock = threading.Lock()
        # A capability is there only if it has a script: methods are set, not defined.
        for name in self._scripts:
            setattr(self, name, self._method())

    def _method(self) -> Callable[..., Any]:
        return self._answer

    def _answer(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        with self._lock:
            self.requests += requests
            self.batches.append(len(requests))
        replies: list[Reply] = []
        for position, request in enumerate(requests):
            replies.append(self._one(request))
            if arrived is not None:
                arrived(position, replies[-1])
        return replies

    def _one(self, request: Request) -> Reply:
        script = self._scripts[request.method]
        try:
            match request:
                case Encode():
                    seen = (request.images,) if request.images else ()
                    vector = script(request.text, request.role, *seen)
                    return Embedded(np.asarray(vector, dtype=np.float32))
                case Generate():
                    return self._generated(request)
                case ReadLabels():
                    usage = Usage(prompt_tokens=len(request.prompt.text.split()))
                    return LabelReading(_numbers(script(request.prompt)), usage)
                case ScorePair():
                    return Numbers((float(script(request.query, request.passage)),))
                case Classify():
                    return Numbers(_numbers(script(request.text, request.labels)))
                case Likelihood():
                    return Numbers(_numbers(script(request.prompt, request.continuation)))
                case Forget():
                    raise TypeError("no backend is asked to forget")
                case Attend():
                    shown = [script(prompt) for prompt in request.prompts]
                    return Attended(
                        tuple(tuple(np.asarray(row, dtype=np.float32) for row in rows) for rows in shown)
                    )
        except ScriptedFailure as failure:
            return Failed(str(failure))

    def _generated(self, request: Generate) -> Generated:
        written, finish = self._scripts["generate"](request.prompt), "end"
        reasoning, text = ("", written) if isinstance(written, str) else written
        places = [place for stop in request.stop if (place := text.find(stop)) != -1]
        if places:
            text, finish = text[: min(places)], "stop"
        words = text.split(" ")
        if len(words) > request.max_tokens:
            text, finish = " ".join(words[: request.max_tokens]), "length"
        reading = None
        if finish == "stop" and request.labels and "read_labels" in self._scripts:
            reading = LabelReading(_numbers(self._scripts["read_labels"](request.prompt)))
        usage = Usage(prompt_tokens=len(request.prompt.text.split()), generated_tokens=len(text.split()))
        return Generated(text, finish, reading, usage, reasoning=reasoning)


class AsyncScriptedBackend(ScriptedBackend):
    """The same with `async` methods, as a served model has them."""

    def _method(self) -> Callable[..., Any]:
        return self._answer_later

    async def _answer_later(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        return self._answer(requests, arrived)


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


class ScriptedFailure(Exception):
    """Raise it in a script: that one request fails with this reason."""
