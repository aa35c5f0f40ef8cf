"""A served writer that answers queries by a function, and queries for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synth_replies import reply

from limrank_plugins.backends.protocols import Failed, Generate, Reply
from limrank_plugins.backends.scripted import ScriptedFailure
from limrank_synth.records import Seed, Source

OWN = Source("our queries", "CC0-1.0", commercial=True)
WORDS = ["milk", "bread", "iron", "light", "river", "tea", "acid", "yeast"]


class Writer:
    """A served writer whose completions are a function of the query's text and the request."""

    name = identity = "writer"

    def __init__(self, answer: Callable[[str, Generate], str]) -> None:
        self.answer, self.asked = answer, list[Generate]()

    async def generate(self, requests: Sequence[Generate]) -> list[Reply]:
        self.asked += requests
        return [self._reply(request) for request in requests]

    def _reply(self, request: Generate) -> Reply:
        query = request.prompt.text.partition("<query>")[2].partition("</query>")[0]
        try:
            return reply(self.answer(query, request))
        except ScriptedFailure as failure:
            return Failed(str(failure))


def seeds(count: int) -> list[Seed]:
    return [Seed(f"q{n}", f"what does {WORDS[n % 8]} number {n} do", OWN) for n in range(count)]
