"""An answer that comes in parts, as server-sent events, for models that reason for minutes.

`progress` says how far it is, `result` and `failed` are documents as they are judged, `answer` is what a
request without `stream` would have got; `error` comes in its place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from limrank_plugins.data import Failure, Ranking, Usage
from limrank_plugins.segments import clean_text
from limrank_plugins.server.answers import failed_document, reason_of, result_of
from limrank_plugins.server.named_reranker import NamedReranker
from limrank_plugins.server.refusals import Refusal
from limrank_plugins.server.schemas import RerankRequest
from limrank_plugins.server.work import ClientGone, Receive, working
from limrank_plugins.ties import best_first

Tell = Callable[[str, dict[str, Any]], None]
"""Takes the name of an event and its data."""

_TOGETHER = 4
"""Documents of one request that a model on this machine reasons about at a time, so that some come early."""
_IDLE_SECONDS = 5.0


class EventStream(Response):
    """Does the work while it tells of it.

    Args:
        work: given a function that tells an event, it returns the last one's data.
        seconds: how long it may take.
        refused: the refusal that an error of the work is told as.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        work: Callable[[Tell], Awaitable[BaseModel]],
        seconds: float,
        refused: Callable[[Exception], Refusal],
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._work, self._seconds, self._refused = work, seconds, refused

    async def __call__(self, scope: Any, receive: Receive, send: Callable[[Any], Awaitable[None]]) -> None:
        """Send the events."""
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def send_event(name: str, data: dict[str, Any]) -> None:
            text = clean_text(json.dumps(data, ensure_ascii=False, allow_nan=False))
            body = f"event: {name}\ndata: {text}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})

        try:
            await self._send_all(receive, send_event)
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001 - the status was sent; the event says what became of it
            refusal = self._refused(error)
            await send_event("error", {"status": refusal.status, "detail": refusal.detail})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(
        self, receive: Receive, send_event: Callable[[str, dict[str, Any]], Awaitable[None]]
    ) -> None:
        events: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        began, progress = loop.time(), {"finished": 0}

        async def worked() -> BaseModel:
            try:
                return await self._work(lambda name, data: events.put_nowait((name, data)))
            finally:
                events.put_nowait(None)

        async with working(receive, worked(), self._seconds) as task:
            while True:
                try:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        event = await events.get()
                except TimeoutError:
                    event = "progress", progress
                if event is None:
                    break
                name, data = event
                if name == "progress":
                    progress = data
                    data = data | {"seconds": round(loop.time() - began, 3)}
                await send_event(name, data)
            answer = await task
            await send_event("answer", answer.model_dump(mode="json", exclude_none=True))


async def ranked_in_parts(served: NamedReranker, request: RerankRequest, tell: Tell) -> Ranking:
    """The ranking; told of each document as it is judged, where each is reasoned about alone."""
    texts = request.texts
    finished = tokens = 0

    def told(ranking: Ranking, positions: Sequence[int]) -> None:
        nonlocal finished, tokens
        finished += len(positions)
        tokens += ranking.usage.generated_tokens
        for hit in ranking:
            placed = replace(hit, index=positions[hit.index])
            returned = bool(request.return_documents)
            if placed.failure is not None or placed.score is None:
                tell("failed", _dumped(failed_document(placed, returned=returned)))
            else:
                result = result_of(placed, placed.score, ranking.score_kind, returned=returned)
                tell("result", _dumped(result))
        tell("progress", {"finished": finished, "total": len(texts), "tokens": tokens})

    tell("progress", {"finished": 0, "total": len(texts), "tokens": 0})
    if not served.judges_alone:
        return await served.rank(request.query, texts, request.max_tokens_per_doc)
    # Equal texts are asked about once, as in a list that is ranked as a whole.
    groups: dict[str, list[int]] = {}
    for position, text in enumerate(texts):
        groups.setdefault(text, []).append(position)
    room = asyncio.Semaphore(len(groups) if served.passes_through else _TOGETHER)

    async def judge(positions: list[int]) -> tuple[Ranking, list[int]]:
        async with room:
            part = [texts[position] for position in positions]
            ranking = await served.rank(request.query, part, request.max_tokens_per_doc)
        told(ranking, positions)
        return ranking, positions

    tasks = [asyncio.create_task(judge(positions)) for positions in groups.values()]
    try:
        return _joined(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _joined(parts: Sequence[tuple[Ranking, Sequence[int]]]) -> Ranking:
    """One ranking of the parts' documents, which were judged alone: by score, ties in the request's order."""
    hits = sorted(
        (replace(hit, index=positions[hit.index]) for ranking, positions in parts for hit in ranking),
        key=lambda hit: hit.index,
    )
    judged = [hit for hit in hits if hit.failure is None and hit.score is not None]
    failed = [hit for hit in hits if hit.failure is not None or hit.score is None]
    order = best_first([hit.score for hit in judged])
    arranged = [*(judged[place] for place in order), *failed]
    first = parts[0][0]
    return replace(
        first,
        hits=tuple(replace(hit, id=str(hit.index), rank=rank) for rank, hit in enumerate(arranged, start=1)),
        usage=Usage.total(ranking.usage for ranking, _ in parts),
        failures=tuple(Failure(str(hit.index), reason_of(hit)) for hit in failed),
        repairs=sum(ranking.repairs for ranking, _ in parts),
        query_cut_tokens=max(ranking.query_cut_tokens for ranking, _ in parts),
    )


def _dumped(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True)
