"""Cohere's own client and ours ask alike and read the same scores. Run by tests/compat/run_cohere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from rerank_servers import SERVERS, score
from servers import Answer, Call, LoopbackServer

from limrank_plugins import Reranker
from limrank_plugins.errors import BackendError

cohere = pytest.importorskip("cohere", reason="needs cohere: run tests/compat/run_cohere")
QUERY = "why does milk go lumpy in tea"
TEXTS = [f"passage number {i}" for i in range(12)]
KEY = "key-planted-9876543210"


def answer(call: Call) -> Any:
    """What our tests let Cohere answer, held to the SDK's own type."""
    said = SERVERS["cohere"](replace(call, path=call.path.replace("/v2/", "/v1/")))
    cohere.V2RerankResponse.model_validate(said)
    return said


def test_the_same_request_and_the_same_scores() -> None:
    with LoopbackServer(answer) as server, client(server) as sdk:
        there = sdk.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS, top_n=len(TEXTS))
        here = ours(server).rank(QUERY, TEXTS)
        theirs, mine = server.calls
    assert (mine.path, mine.body) == (theirs.path, theirs.body)
    assert mine.headers["authorization"] == theirs.headers["authorization"]
    assert [str(result.index) for result in there.results] == here.ids
    assert [result.relevance_score for result in there.results] == [hit.score for hit in here]
    assert here[0].score == max(map(score, TEXTS))
    assert here.usage.searches == there.meta.billed_units.search_units == 1


def test_a_key_that_is_refused_is_told_by_both() -> None:
    with (
        LoopbackServer(lambda call: Answer({"message": "invalid api token"}, 401)) as server,
        client(server) as sdk,
    ):
        with pytest.raises(cohere.errors.UnauthorizedError):
            sdk.rerank(model="m", query=QUERY, documents=TEXTS)
        with pytest.raises(BackendError, match=r"HTTP 401.*invalid api token.*check the key"):
            ours(server).rank(QUERY, TEXTS)


@contextmanager
def client(server: LoopbackServer) -> Iterator[Any]:
    with httpx.Client() as connections:
        yield cohere.ClientV2(api_key=KEY, base_url=server.url.removesuffix("/v1"), httpx_client=connections)


def ours(server: LoopbackServer) -> Reranker:
    base = server.url.removesuffix("/v1")
    return Reranker("rerank-api", "rerank-v3.5", base_url=f"{base}/v2", api_key=KEY, dialect="cohere")


def test_their_client_asks_our_server() -> None:
    from serving import judging, logit, serving

    with serving(judging(), tokens=[KEY]) as service, httpx.Client(trust_env=False) as connections:
        sdk = cohere.ClientV2(api_key=KEY, base_url=service.url, httpx_client=connections)
        texts = [*TEXTS, "this one fails"]
        answer = sdk.rerank(model="m", query=QUERY, documents=texts, top_n=3, max_tokens_per_doc=4096)
        scores = sorted((logit(QUERY, text) for text in TEXTS), reverse=True)
        assert [result.relevance_score for result in answer.results] == scores[:3]
        assert [logit(QUERY, texts[result.index]) for result in answer.results] == scores[:3]
        assert answer.meta.billed_units.search_units == 1
        assert answer.meta.warnings[0].startswith("1 of 13 documents could not be judged")
        with pytest.raises(cohere.errors.NotFoundError, match="there is no model 'x' here; there are: m"):
            sdk.rerank(model="x", query=QUERY, documents=texts)
        # The first version of their API, too.
        first = cohere.Client(api_key=KEY, base_url=service.url, httpx_client=connections)
        shown = first.rerank(model="m", query=QUERY, documents=[{"text": text} for text in TEXTS],
                             return_documents=True)  # fmt: skip
        assert [shown_result.document.text for shown_result in shown.results] == sorted(
            TEXTS, key=lambda text: -logit(QUERY, text)
        )
