"""Rerankers behind an address: Cohere, Jina, Voyage, mixedbread, and every server that has a `/rerank`.

A query's documents go out in calls of as many as the server takes. What comes back is put on the document
that it names, and nothing is believed of an answer that does not say clearly which one that is.
`remote/dialects.py` has the table of servers, `docs/served-models.md` what to know about them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from limrank_plugins.backends.counting import counting
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.protocols import (
    Arrived,
    Classify,
    Failed,
    Numbers,
    Reply,
    ScorePair,
)
from limrank_plugins.backends.remote.addresses import check_body
from limrank_plugins.backends.remote.client import http_calls, post_json
from limrank_plugins.backends.remote.dialects import (
    DIALECTS,
    KEY,
    charged_in,
    find_server,
    scores_in,
    warnings_in,
)
from limrank_plugins.backends.remote.faults import (
    CallFailed,
    brief,
    charged,
    complaint_of,
    is_too_large,
    may_be_of_one,
    status_of,
)
from limrank_plugins.backends.remote.markers import unmarked
from limrank_plugins.backends.remote.notes import Notes
from limrank_plugins.backends.remote.replies import parse_json
from limrank_plugins.backends.remote.services import find_key, with_dialects
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.prices import paid, price_of
from limrank_plugins.wording import number_of

_TOGETHER = 100  # documents in one call; to Cohere that is one search unit
_READS_LISTS = re.compile(r"jina-reranker-v3", re.I)


class RerankAPIBackend:
    """Asks a reranking service or server. Safe for threads and event loops.

    Args:
        model: the name the server knows the model by; TEI and llama-server, which serve one, take any.
        base_url: the server, up to what stands before `/rerank`, for example `"http://localhost:8000/v1"`;
            default `RERANK_BASE_URL`, then the dialect's hosted service. What follows a `?` is sent with
            every request and shown nowhere.
        api_key: default: the provider's own variable (`CO_API_KEY`, `JINA_API_KEY`, `VOYAGE_API_KEY`,
            `MXBAI_API_KEY`), which is sent to that provider only, then `RERANK_API_KEY`.
        dialect: what kind of server it is, a name of `backends.remote.dialects.DIALECTS`; `"auto"` knows
            hosted services by their address, and takes any other to speak as Cohere and Jina do.
        revision: names the weights in the keys of stored answers; change it when others are served.
        batch_size: documents in one call at most; default 100, or what the server takes where that is less.
        concurrency, requests_per_minute, max_retries, timeout, on_fault, sleep: as in `OpenAIBackend`.
        body: further fields of every request, such as `{"truncate": True}` (TEI) or
            `{"max_tokens_per_doc": 2048}` (Cohere); they win over the dialect's own.
        search_price: dollars for a search unit, where the server says how many it charged; default: the price
            table's (`prices.toml`).
        token_price: dollars for a million tokens; default likewise.

    A call that is refused for its size, or for an empty document, is halved until the document that is to
    blame stands alone and fails alone. Markers such as `</think>` or `[SEP]` in queries and passages are
    broken by a space, as the server tokenises by itself.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: the openai SDK, whose HTTP library is used, is not installed.
    """

    name = "rerank-api"
    shows_images = False

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dialect: str = "auto",
        revision: str = "",
        batch_size: int | None = None,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        max_retries: int = 5,
        timeout: float = 600.0,
        body: Mapping[str, Any] | None = None,
        search_price: float | None = None,
        token_price: float | None = None,
        on_fault: Callable[[str], None] = lambda kind: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.model = model
        address, self._dialect = find_server(base_url, dialect)
        self.price = price_of(address.base, model, search_price=search_price, token_price=token_price)
        key, key_name = find_key(api_key, self._dialect, address, KEY)
        if batch_size is not None:
            whole_number("batch_size", batch_size, least=1)
        self._most = batch_size if batch_size is not None else self._dialect.most
        self._together = batch_size or min(_TOGETHER, self._dialect.most or _TOGETHER)
        check_body(body, self._dialect.request("", "", []).keys() - self._dialect.fields.keys())
        self._body = dict(body or {})
        settings = [] if not body else [json.dumps(self._body, sort_keys=True, default=str)]
        self.identity = "|".join([self.name, address.shown, self._dialect.name, model, revision, *settings])
        self._url = f"{address.base.rstrip('/')}/{self._dialect.path}"
        self._who = f"model {model!r} at {address.shown}"
        self._answered = False
        self._notes = Notes(self._who)
        self._calls = http_calls(
            address,
            key,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            max_retries=max_retries,
            timeout=timeout,
            key_name=key_name,
            on_fault=on_fault,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return f"RerankAPIBackend({self.identity!r})"

    def close(self) -> None:
        """Close the connections. May be called twice; a later question opens new ones."""
        self._calls.close()

    # ---- what it can be asked -------------------------------------------------------------------

    async def score_pairs(self, requests: Sequence[ScorePair], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each with the server's score, or `Failed`; a query's passages go out together.

        Raises:
            BackendError: what went wrong concerns every request (wrong key, address, dialect or model).
            InputError: the model reads passages together, so that a pair alone has no score.
        """
        if _READS_LISTS.search(self.model):
            raise InputError(
                f"model {self.model!r} reads all documents of a list together, so its scores of two calls "
                f"cannot be compared: give recipe 'rerank-api:mode=list'"
            )
        by_query: dict[str, list[int]] = {}
        for position, request in enumerate(requests):
            by_query.setdefault(request.query, []).append(position)
        replies = Replies(arrived)

        async def score(query: str, positions: Sequence[int]) -> None:
            scored = await self._scored(query, [requests[position].passage for position in positions])
            with replies.together():
                for position, reply in zip(positions, scored, strict=True):
                    replies[position] = reply

        await self._each(
            partial(score, query, positions[start : start + self._together])
            for query, positions in by_query.items()
            for start in range(0, len(positions), self._together)
        )
        return replies.in_order()

    async def classify(self, requests: Sequence[Classify], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each with the scores of its labels (passages) for its text (query), of one call.

        A list that is longer than the server takes, or of which any score is missing, is `Failed`.

        Raises:
            BackendError: as for `score_pairs`.
        """
        replies = Replies(arrived)

        async def score(position: int) -> None:
            request = requests[position]
            replies[position] = await self._list_scored(request.text, request.labels)

        await self._each(partial(score, position) for position in range(len(requests)))
        return replies.in_order()

    async def _each(self, jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
        try:
            await self._calls.each(list(jobs))
        except CallFailed as failure:
            problem = BackendError(f"{self._who} cannot be used: {failure}")
        else:
            self._notes.warn()
            return
        raise problem

    # ---- one call -------------------------------------------------------------------------------

    async def _scored(
        self, query: str, passages: Sequence[str], *, halves: bool = True
    ) -> list[Numbers | Failed]:
        """Each passage's reply; what the calls cost stands on the first."""
        with counting() as spent:
            try:
                scores, cost = await self._ask(query, passages)
            except CallFailed as failure:
                if failure.fatal:
                    raise
                if halves and len(passages) > 1 and may_be_of_one(failure):
                    middle = len(passages) // 2
                    return [
                        *await self._scored(query, passages[:middle]),
                        *await self._scored(query, passages[middle:]),
                    ]
                scores = [str(failure)] * len(passages)
                cost = paid(self.price, failure.usage, answered=failure.usage != Usage())
        usage, uncertain = cost + spent.usage, spent.usage.uncertain > 0
        costs = [usage, *[Usage(priced=cost.priced)] * (len(passages) - 1)]
        return [
            Failed(score, cost, uncertain) if isinstance(score, str) else Numbers((score,), cost)
            for score, cost in zip(scores, costs, strict=True)
        ]

    async def _list_scored(self, query: str, passages: Sequence[str]) -> Reply:
        if self._most is not None and len(passages) > self._most:
            return Failed(
                f"the list has {number_of(len(passages), 'document')}, but the server takes "
                f"{self._most} in one call: "
                f"rerank fewer, or give batch_size if it takes more"
            )
        replies = await self._scored(query, passages, halves=False)
        failed = next((reply for reply in replies if isinstance(reply, Failed)), None)
        if failed is not None:
            return replace(failed, usage=replies[0].usage)
        values = (value for reply in replies if isinstance(reply, Numbers) for value in reply.values)
        return Numbers(tuple(values), replies[0].usage)

    async def _ask(self, query: str, passages: Sequence[str]) -> tuple[list[float | str], Usage]:
        """Each passage's score, or why it has none, and what was charged.

        Raises:
            CallFailed: there is no answer, or none that makes sense.
        """
        texts = [unmarked(passage) for passage in passages]
        body = self._dialect.request(self.model, unmarked(query), texts) | self._body

        async def ask(client: Any) -> tuple[list[float | str], Usage, list[str]]:
            response = await self._posted(client, body)
            reply = parse_json(self._calls.read_reply(response), unique=True)
            usage = charged_in(reply, response.headers)
            with charged(usage):
                return scores_in(reply, texts), usage, warnings_in(reply)

        try:
            scores, usage, warnings = await self._calls.reach(ask)
        except CallFailed as failure:
            raise self._with_advice(failure) from None
        self._answered = True
        for text in warnings:
            self._notes.say(f"the server warns: {brief(text)}")
        if self.price is not None and (what := self.price.uncounted(usage)):
            self._notes.say(f"the server does not say how many {what} it charged: their cost is not known")
        return scores, paid(self.price, usage)

    async def _posted(self, client: Any, body: dict[str, Any]) -> Any:
        try:
            return await post_json(client, self._url, body)
        except Exception as error:
            complaint = complaint_of(error)
            if status_of(error) != 500 or not is_too_large(complaint):
                raise
            message = self._calls.redact(complaint.message)
        # llama-server says so of a document that is too long: to ask again would not make it shorter.
        raise CallFailed(f"HTTP 500: {brief(message)}", 500, complaint=complaint._replace(message=message))

    # ---- what is told ---------------------------------------------------------------------------

    def _with_advice(self, failure: CallFailed) -> CallFailed:
        """The failure; of a server that never gave a score, with what it may not have understood."""
        if self._answered or failure.status not in (400, 404, 405, 422):
            return failure
        return with_dialects(failure, self._url, self._dialect.name, DIALECTS)
