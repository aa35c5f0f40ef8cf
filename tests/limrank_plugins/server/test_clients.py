"""Our own clients ask our server: backend `rerank-api` in two dialects, and the plug-ins through it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from servers import Waits
from serving import QUERY, TEXTS, judging, logit, serving

from limrank_plugins import Ranking, Reranker
from limrank_plugins.errors import BackendError
from limrank_plugins.server import Limits

ORDER = sorted(range(len(TEXTS)), key=lambda i: -logit(QUERY, TEXTS[i]))
BAD = "this one fails"


@pytest.fixture
def url() -> Iterator[str]:
    with serving(judging()) as service:
        yield f"{service.url}/v1"


def client(url: str, dialect: str = "cohere", model: str = "m", **options: object) -> Reranker:
    return Reranker("rerank-api", model, base_url=url, dialect=dialect, sleep=Waits(), **options)


@pytest.mark.parametrize("dialect", ["cohere", "jina", "vllm", "litellm", "infinity", "xinference"])
def test_the_scores_that_come_back_are_those_of_the_model(url: str, dialect: str):
    reranker = client(url, dialect)
    for ranking in (reranker.rank(QUERY, TEXTS), asyncio.run(reranker.arank(QUERY, TEXTS))):
        assert [hit.index for hit in ranking] == ORDER
        assert [hit.score for hit in ranking] == [logit(QUERY, TEXTS[i]) for i in ORDER]
        assert ranking.usage.searches == 1
    reranker.close()


def test_many_queries_at_a_time(url: str):
    reranker = client(url)
    queries = [f"query {i}" for i in range(30)]
    rankings: list[Ranking] = reranker.rank_many([(query, TEXTS) for query in queries])
    for query, ranking in zip(queries, rankings, strict=True):
        assert [hit.score for hit in ranking] == sorted((logit(query, text) for text in TEXTS), reverse=True)
    reranker.close()


def test_a_document_that_failed_there_failed_here(url: str):
    reranker = client(url)
    with pytest.warns(match="1 of 4 documents could not be judged and is no result"):
        ranking = reranker.rank(QUERY, [BAD, *TEXTS])
    assert [failure.id for failure in ranking.failures] == ["0"]
    assert ranking[0].score is None
    assert [hit.index - 1 for hit in ranking[1:]] == ORDER
    reranker.close()


def test_a_list_that_is_too_long_there_is_sent_in_parts_and_one_too_long_document_fails_alone():
    limits = Limits(documents=3, document_characters=50)
    texts = [*TEXTS, "long" * 20, "another one"]
    with serving(judging(), limits=limits) as service:
        reranker = client(f"{service.url}/v1")
        ranking = reranker.rank(QUERY, texts)
        reranker.close()
    (failure,) = ranking.failures
    assert failure.id == "3"
    assert "is too long: at most 50 characters are accepted, but got 80" in failure.reason
    judged = [hit for hit in ranking if hit.failure is None]
    assert [hit.score for hit in judged] == sorted(
        (logit(QUERY, text) for text in texts if len(text) <= 50), reverse=True
    )


def test_a_wrong_model_and_a_missing_token_are_told_at_once():
    with serving(judging(), tokens=["a-long-token"]) as service:
        with pytest.raises(BackendError, match=r"HTTP 401.*a token is needed"):
            client(f"{service.url}/v1").rank(QUERY, TEXTS)
        known = client(f"{service.url}/v1", api_key="a-long-token")
        assert [hit.index for hit in known.rank(QUERY, TEXTS)] == ORDER
        wrong = client(f"{service.url}/v1", model="x", api_key="a-long-token")
        with pytest.raises(BackendError, match=r"there is no model 'x' here; there are: m"):
            wrong.rank(QUERY, TEXTS)


def test_llama_index(url: str):
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    nodes = [NodeWithScore(node=TextNode(text=text, id_=f"{i}"), score=0.5) for i, text in enumerate(TEXTS)]
    rerank = LimRankRerank(reranker=client(url), top_n=2)
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [(node.node.node_id, node.score) for node in found] == [
        (f"{i}", logit(QUERY, TEXTS[i])) for i in ORDER[:2]
    ]


def test_haystack(url: str):
    pytest.importorskip("haystack")
    from haystack import Document
    from haystack_integrations.components.rankers.limrank import LimRankRanker

    ranker = LimRankRanker(recipe="rerank-api", model="m", backend="rerank-api", api_base_url=url, top_k=2)
    ranker.warm_up()
    documents = [Document(id=f"{i}", content=text) for i, text in enumerate(TEXTS)]
    found = ranker.run(query=QUERY, documents=documents)["documents"]
    assert [(document.id, document.score) for document in found] == [
        (f"{i}", logit(QUERY, TEXTS[i])) for i in ORDER[:2]
    ]


def test_a_server_behind_a_server():
    with serving(judging()) as inner:
        middle = client(f"{inner.url}/v1")
        with serving(middle) as outer:
            results = outer.rerank().json()["results"]
        middle.close()
    # What another server calls relevance means nothing beside that of another query.
    assert [result["index"] for result in results] == ORDER
    assert [result["score_kind"] for result in results] == ["rank"] * 3
