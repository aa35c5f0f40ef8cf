"""A framework's own chat model as a backend that writes: LlamaIndex's LLMs, Haystack's generators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from limrank_plugins.backends.protocols import Generate, Generated, Reply
from limrank_plugins.backends.remote.markers import break_markers, marker_pattern
from limrank_plugins.segments import Prompt

Messages = list[tuple[str, str]]
"""A chat: role (`"system"`, `"user"`, `"assistant"`) and text of each message."""

_CONCURRENCY = 8
"""Calls at a time."""


class ChatBackend:
    """Writes by a function from messages to a text, whose own settings decide how it draws and for how long.

    Markers of well-known models in what is not the template's are broken, as for a server that takes
    no token ids. Nothing is stored: who else has the same settings is not known. Called from async
    code, it works in threads.

    Args:
        name: shown in errors.
        write: messages → the model's completion. Called from several threads.
    """

    stored = False

    def __init__(self, name: str, write: Callable[[Messages], str]) -> None:
        self.name = name
        self.identity = name
        self._write = write

    def generate(self, requests: Sequence[Generate]) -> list[Reply]:
        """Answer each with a `Generated`; an error of the model is raised."""
        if len(requests) == 1:
            return [self._generated(requests[0])]
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            return list(pool.map(self._generated, requests))

    def _generated(self, request: Generate) -> Reply:
        text = self._write(messages_of(request.prompt))
        places = [place for stop in request.stop if (place := text.find(stop)) != -1]
        return Generated(text[: min(places)], "stop") if places else Generated(text, "end")


def messages_of(prompt: Prompt) -> Messages:
    """The prompt as messages; a raw completion is one message by the user."""
    pattern = marker_pattern()
    return [
        (role or "user", break_markers(Prompt(segments), pattern)[0]) for role, segments in prompt.messages()
    ]
