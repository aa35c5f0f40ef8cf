"""The app: its routes, and what every request goes through."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Coroutine, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from limrank_plugins import __version__
from limrank_plugins.data import Ranking
from limrank_plugins.reranker import Reranker
from limrank_plugins.segments import clean_text
from limrank_plugins.server.answers import answer_to
from limrank_plugins.server.event_stream import EventStream, Tell, ranked_in_parts
from limrank_plugins.server.gate import Gate
from limrank_plugins.server.guards import Guards
from limrank_plugins.server.hosts import Hosts
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.metrics import CONTENT_TYPE, Metrics
from limrank_plugins.server.named_reranker import NamedReranker, by_name, named
from limrank_plugins.server.openapi import RANKED, REFUSALS, body_schema, describe, refusals
from limrank_plugins.server.page_answer import page_answer, served_page
from limrank_plugins.server.refusals import Refusal, refusal_of
from limrank_plugins.server.request_bodies import read_request
from limrank_plugins.server.schemas import ModelList, RerankAnswer, RerankRequest, ServedModel
from limrank_plugins.server.searching import CorpusList, SearchAnswer, Searching, SearchRequest
from limrank_plugins.server.served_corpus import ServedCorpus
from limrank_plugins.server.work import ClientGone, done_for

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")


class JSON(JSONResponse):
    """JSON that holds no character which UTF-8 has no bytes for, whatever a model wrote."""

    def render(self, content: Any) -> bytes:
        """The content as bytes."""
        return clean_text(json.dumps(content, ensure_ascii=False, allow_nan=False)).encode("utf-8")


class RerankServer:
    """What the routes stand on. `app` is the ASGI app, guards included.

    Args:
        rerankers: by the name that clients call each; the first one is the default. They stay the caller's
            to close.
        corpora: by the name that clients call each; the first one is the default.
        limits: how much is taken on.
        tokens: as for `Guards`.
        hosts: as for `Guards`.
        page: whether there is one at `/`.

    Raises:
        InputError: no reranker, or a reranker or a corpus without a name.
    """

    def __init__(
        self,
        rerankers: Mapping[str, Reranker],
        *,
        corpora: Mapping[str, ServedCorpus],
        limits: Limits,
        tokens: Collection[str],
        hosts: Hosts,
        page: bool,
    ) -> None:
        self.limits = limits
        self.searching = Searching(corpora, limits)
        self._page = served_page() if page else None
        self.gate = Gate(limits.queue)
        self.served: dict[str, NamedReranker] = {}
        self.metrics = Metrics(
            lambda: self.gate.under_way, lambda: sum(served.waiting for served in self.served.values())
        )
        self.served = by_name(rerankers, limits, self.metrics.began)
        self.app = FastAPI(title="limrank", version=__version__, docs_url=None, redoc_url=None)
        self._add_routes(self.app)
        describe(self.app, (RerankRequest, SearchRequest), limits, tokens=bool(tokens))
        self.app.add_exception_handler(Refusal, _refuse)
        self.app.add_exception_handler(Exception, _refuse)
        self.app.add_middleware(
            Guards,
            hosts=hosts,
            tokens=tokens,
            limits=limits,
            gate=self.gate,
            answered=self.metrics.answered,
        )
        self.app.state.rerank_server, self.app.state.gate, self.app.state.limits = self, self.gate, limits

    # ---- routes ---------------------------------------------------------------------------------

    def _add_routes(self, app: FastAPI) -> None:
        for path in PATHS:
            app.add_api_route(
                path,
                self.rerank,
                methods=["POST"],
                operation_id=f"rerank{path.removesuffix('/rerank').replace('/', '_')}",
                response_model=None,
                responses=RANKED,
                openapi_extra=body_schema(RerankRequest),
            )
        app.add_api_route(
            "/search",
            self.search,
            methods=["POST"],
            response_model=None,
            responses={200: {"model": SearchAnswer}, **REFUSALS},
            openapi_extra=body_schema(SearchRequest),
        )
        app.add_api_route(
            "/corpora",
            self.corpora,
            methods=["GET"],
            response_model=None,
            responses={200: {"model": CorpusList}, **refusals(401)},
        )
        if self._page is not None:
            app.add_api_route("/", self.show_page, methods=["GET"], include_in_schema=False)
        app.add_api_route("/health", self.health, methods=["GET"], response_model=None, responses=refusals())
        app.add_api_route("/ready", self.ready, methods=["GET"], response_model=None, responses=refusals(503))
        app.add_api_route(
            "/metrics",
            self.show_metrics,
            methods=["GET"],
            response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refusals(401)},
        )
        app.add_api_route(
            "/v1/models",
            self.models,
            methods=["GET"],
            response_model=None,
            responses={200: {"model": ModelList}, **refusals(401)},
        )

    async def rerank(self, request: Request) -> Response:
        """Rank documents by what a model says about them."""
        body = read_request(await request.body(), self.limits)
        served = named(self.served, body.model)
        served.check(body.texts, body.max_tokens_per_doc)
        if body.stream:
            return EventStream(partial(self._streamed, served, body), self.limits.seconds, refusal_of)
        started = time.perf_counter()

        async def answer() -> RerankAnswer:
            ranking = await served.rank(body.query, body.texts, body.max_tokens_per_doc)
            return self._answer(served, body, ranking, started)

        return await self._done(request, answer())

    async def search(self, request: Request) -> Response:
        """The candidates of a query in a corpus, in first-stage order."""
        return await self._done(request, self.searching.search(self.searching.read(await request.body())))

    async def corpora(self) -> Response:
        """The corpora that can be named, the default first."""
        return JSON(self.searching.listed().model_dump())

    async def show_page(self) -> Response:
        """The page."""
        assert self._page is not None
        return page_answer(self._page)

    async def _done(self, request: Request, work: Coroutine[Any, Any, BaseModel]) -> Response:
        try:
            answer = await done_for(request.receive, work, self.limits.seconds)
        except ClientGone:
            return Response(status_code=499)  # nobody reads it
        except Exception as error:  # noqa: BLE001 - a defect is logged, and told as one
            problem = refusal_of(error)
        else:
            return JSON(answer.model_dump(exclude_none=True))
        raise problem

    async def _streamed(self, served: NamedReranker, request: RerankRequest, tell: Tell) -> RerankAnswer:
        started = time.perf_counter()
        return self._answer(served, request, await ranked_in_parts(served, request, tell), started)

    def _answer(
        self, served: NamedReranker, request: RerankRequest, ranking: Ranking, started: float
    ) -> RerankAnswer:
        self.metrics.ranked(served.name, ranking, time.perf_counter() - started)
        return answer_to(request, ranking, served.name)

    async def health(self) -> Response:
        """Whether the server is alive."""
        return JSON({"status": "alive"})

    async def ready(self) -> Response:
        """Whether requests are accepted: all models are loaded, and the server is not about to end."""
        if self.gate.draining:
            raise Refusal(503, "this server is about to end")
        return JSON({"status": "ready"})

    async def show_metrics(self) -> Response:
        """Counters in Prometheus' text format."""
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def models(self) -> Response:
        """The rerankers that can be named, the default first."""
        listed = [
            ServedModel(id=name, recipe=served.reranker.recipe.name, score_kind=served.score_kind)
            for name, served in self.served.items()
        ]
        return JSON(ModelList(data=listed).model_dump())


async def _refuse(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error)
    return JSON({"detail": refusal.detail}, refusal.status, refusal.headers)
