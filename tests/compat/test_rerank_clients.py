"""Clients that others wrote ask our server. Run by tests/compat/run_rerank_clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import QUERY, TEXTS, Service, judging, logit, serving

from limrank_plugins import ScriptedBackend

pytest.importorskip("litellm", reason="needs litellm: run tests/compat/run_rerank_clients")

KEY = "key-planted-9876543210"
BAD = "this one fails"
LONG = "milk " * 2000  # more bytes than the tokens that Haystack's client for Cohere asks to read at most
DOCUMENTS = [*TEXTS, BAD, LONG]
SCORES = {i: logit(QUERY, text) for i, text in enumerate(DOCUMENTS) if text != BAD}
ORDER = sorted(SCORES, key=lambda i: -SCORES[i])


@pytest.fixture
def service() -> Iterator[Service]:
    backend = ScriptedBackend(score_pairs=logit)
    backend.reads_at_most = 512
    with serving(judging(backend), tokens=[KEY]) as running:
        yield running


@pytest.mark.parametrize("provider", ["cohere", "jina_ai", "hosted_vllm"])
def test_litellm(service: Service, provider: str) -> None:
    import litellm

    base = service.url if provider == "hosted_vllm" else f"{service.url}/v1/rerank"
    answer = litellm.rerank(
        model=f"{provider}/m", query=QUERY, documents=DOCUMENTS, top_n=3, api_base=base, api_key=KEY
    )
    assert [result["index"] for result in answer.results] == ORDER[:3]
    assert [result["relevance_score"] for result in answer.results] == [SCORES[i] for i in ORDER[:3]]


def test_llama_index_cohere(service: Service) -> None:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    reranker = CohereRerank(model="m", top_n=3, api_key=KEY, base_url=service.url)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in DOCUMENTS]
    ranked = reranker.postprocess_nodes(nodes, query_str=QUERY)
    assert [(node.text, node.score) for node in ranked] == [(DOCUMENTS[i], SCORES[i]) for i in ORDER[:3]]


def test_llama_index_jina(service: Service) -> None:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.jinaai_rerank import JinaRerank

    reranker = JinaRerank(model="m", top_n=3, api_key=KEY, base_url=f"{service.url}/v1")
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in DOCUMENTS]
    ranked = reranker.postprocess_nodes(nodes, query_str=QUERY)
    assert [(node.text, node.score) for node in ranked] == [(DOCUMENTS[i], SCORES[i]) for i in ORDER[:3]]


def test_haystack_cohere(service: Service) -> None:
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    ranker = CohereRanker(model="m", top_k=3, api_key=Secret.from_token(KEY), api_base_url=service.url)
    ranked = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])["documents"]
    assert [(d.content, d.score) for d in ranked] == [(DOCUMENTS[i], SCORES[i]) for i in ORDER[:3]]


def test_haystack_jina(service: Service) -> None:
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.jina import JinaRanker

    ranker = JinaRanker(model="m", top_k=3, api_key=Secret.from_token(KEY), base_url=f"{service.url}/rerank")
    ranked = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])["documents"]
    assert [(d.content, d.score) for d in ranked] == [(DOCUMENTS[i], SCORES[i]) for i in ORDER[:3]]
