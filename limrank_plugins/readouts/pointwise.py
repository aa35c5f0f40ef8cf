"""Documents that are judged each on its own, by one program instead of one for each: it costs far less."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from limrank_plugins.backends.protocols import Forget, Program, Reply, Request
from limrank_plugins.data import Document, Verdict
from limrank_plugins.readouts.lockstep import forgetting
from limrank_plugins.verdicts import GroupVerdict

Ask = Callable[[Sequence[Document]], Program[GroupVerdict]]
"""A pointwise readout about some documents of a query."""


def judge_each(ask: Ask, documents: Sequence[Document]) -> Program[list[Verdict]]:
    """The documents' verdicts; what was replied about one that failed is forgotten, see `forgetting`."""
    program = ask(documents)
    asked: list[Request] = []
    replies: list[Reply] = []
    try:
        requests = next(program)
        while True:
            arrived = yield requests
            asked += requests
            replies += arrived
            requests = program.send(arrived)
    except StopIteration as finished:
        verdicts: list[Verdict] = finished.value.verdicts(len(documents))
    failed = [document for document, verdict in zip(documents, verdicts, strict=True) if verdict.failure]
    if failed:
        known = dict(zip(asked, replies, strict=True))
        forgotten = [request for document in failed for request in _forgotten(ask([document]), known)]
        if forgotten:
            yield forgotten
    return verdicts


def _forgotten(program: Program[GroupVerdict], replies: Mapping[Request, Reply]) -> list[Request]:
    """What `forgetting` makes of a program about one document that failed, whose replies are known."""
    steps = forgetting(program, lambda verdict: True)
    try:
        requests = next(steps)
        while not any(isinstance(request, Forget) for request in requests):
            requests = steps.send([replies[request] for request in requests])
    except StopIteration:
        return []
    return requests
