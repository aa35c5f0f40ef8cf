"""What is asked and what is answered, over real connections."""

from __future__ import annotations

from typing import Any

import pytest
from scripts import answer, logits
from serving import QUERY, TEXTS, judging, logit, serving

from limrank_plugins import Reranker, ScriptedBackend
from limrank_plugins.errors import InputError
from limrank_plugins.server import build_app
from limrank_plugins.server.schemas import RerankAnswer

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")


def expected(query: str, texts: list[str]) -> list[tuple[int, float]]:
    scores = [logit(query, text) for text in texts]
    return sorted(enumerate(scores), key=lambda entry: -entry[1])


def pairs(answered: dict[str, Any]) -> list[tuple[int, float]]:
    return [(result["index"], pytest.approx(result["relevance_score"])) for result in answered["results"]]


@pytest.mark.parametrize("path", PATHS)
def test_the_shape_of_cohere_and_jina(path: str):
    with serving(judging()) as service:
        done = service.client.post(path, json={"model": "m", "query": QUERY, "documents": TEXTS})
    assert done.status_code == 200
    answered = done.json()
    assert RerankAnswer.model_validate(answered)
    assert pairs(answered) == expected(QUERY, TEXTS)
    assert {result["score_kind"] for result in answered["results"]} == {"logit"}
    assert all("document" not in result for result in answered["results"])
    assert (answered["model"], answered["failed"]) == ("m", [])
    assert answered["meta"]["billed_units"] == {"search_units": 1}
    assert answered["meta"]["tokens"] == {"input_tokens": 0, "output_tokens": 0}
    assert answered["usage"]["total_tokens"] == 0
    assert "warnings" not in answered["meta"]


def test_documents_as_objects_top_n_and_returned_documents():
    with serving(judging()) as service:
        documents = [{"text": TEXTS[0], "title": "not read"}, TEXTS[1], {"text": TEXTS[2]}]
        answered = service.rerank(documents=documents, top_n=2, return_documents=True).json()
    assert pairs(answered) == expected(QUERY, TEXTS)[:2]
    assert [result["document"] for result in answered["results"]] == [
        {"text": TEXTS[result["index"]]} for result in answered["results"]
    ]


def test_null_is_as_good_as_nothing():
    nothing = dict.fromkeys(
        (
            "model",
            "top_n",
            "return_documents",
            "max_tokens_per_doc",
            "stream",
            "rank_fields",
            "priority",
            "user",
        )
    )
    with serving(judging()) as service:
        assert pairs(service.rerank(**nothing).json()) == expected(QUERY, TEXTS)
        assert service.rerank(priority=3, user="u", top_n=99).status_code == 200


def test_a_ranking_without_comparable_scores_gets_those_of_its_ranks():
    reranker = Reranker("rankgpt", backend=ScriptedBackend(generate=answer))
    with serving(reranker) as service:
        whole = service.rerank().json()["results"]
        first = service.rerank(top_n=1).json()["results"]
    assert [result["index"] for result in whole] == [hit.index for hit in reranker.rank(QUERY, TEXTS)]
    assert [result["relevance_score"] for result in whole] == [1.0, 2 / 3, 1 / 3]
    assert {result["score_kind"] for result in whole} == {"rank"}
    assert first == whole[:1]


def test_similarities_that_lean_on_the_query_are_ranks_too():
    vectors = {"query": [1.0, 0.0], TEXTS[0]: [0.0, 1.0], TEXTS[1]: [1.0, 0.1], TEXTS[2]: [0.5, 0.5]}
    backend = ScriptedBackend(encode=lambda text, role: vectors["query" if role == "query" else text])
    with serving(Reranker("mini", backend=backend)) as service:
        results = service.rerank().json()["results"]
    assert [result["index"] for result in results] == [1, 2, 0]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


def test_reasoning_comes_with_its_document_and_is_counted():
    backend = ScriptedBackend(generate=lambda prompt: "I think so.</think>", read_labels=logits)
    with serving(Reranker("limrank", backend=backend)) as service:
        answered = service.rerank().json()
    assert [result["reasoning"] for result in answered["results"]] == ["I think so."] * 3
    assert answered["usage"]["completion_tokens"] == 9
    assert answered["meta"]["tokens"]["output_tokens"] == 9
    assert answered["usage"]["total_tokens"] == answered["usage"]["prompt_tokens"] + 9


def test_what_a_model_writes_need_not_be_utf_8():
    backend = ScriptedBackend(generate=lambda prompt: "a \ud800 b\u2028</think>", read_labels=logits)
    with serving(Reranker("limrank", backend=backend)) as service:
        assert service.rerank().json()["results"][0]["reasoning"] == "a \ufffd b"


def test_half_a_character_is_read_as_a_sign_for_one():
    with serving(judging()) as service:
        body = b'{"query": "why \\ud83d", "documents": ["a \\ud83d", {"text": "\\ude00 b"}], '
        body += b'"return_documents": true}'
        done = service.client.post("/rerank", content=body, headers={"Content-Type": "application/json"})
    texts = ["a \ufffd", "\ufffd b"]
    assert pairs(done.json()) == expected("why \ufffd", texts)
    assert {result["document"]["text"] for result in done.json()["results"]} == set(texts)


def test_several_rerankers_behind_one_address():
    rerankers = {
        "pairs": judging(),
        "order": Reranker("rankgpt", backend=ScriptedBackend(generate=answer)),
    }
    with serving(rerankers) as service:
        assert [service.rerank(**named).json()["model"] for named in ({}, {"model": "order"})] == [
            "pairs",
            "order",
        ]
        listed = service.client.get("/v1/models").json()
        wrong = service.rerank(model="rerank-v3.5")
    assert [(entry["id"], entry["score_kind"]) for entry in listed["data"]] == [
        ("pairs", "logit"),
        ("order", "rank"),
    ]
    assert wrong.status_code == 404
    assert wrong.json() == {"detail": "there is no model 'rerank-v3.5' here; there are: pairs, order"}


@pytest.mark.parametrize(
    ("names", "message"), [({}, "rerankers is empty"), ({" ": judging()}, "a reranker's name is empty")]
)
def test_there_must_be_rerankers_with_names(names: dict[str, Reranker], message: str):
    with pytest.raises(InputError, match=message):
        build_app(names)


def test_what_programs_ask_of_a_server():
    with serving(judging()) as service:
        assert service.rerank().status_code == 200
        assert service.rerank(documents=[]).status_code == 422
        get = service.client.get
        assert (get("/health").json(), get("/ready").json()) == ({"status": "alive"}, {"status": "ready"})
        metrics = get("/metrics")
        described = get("/openapi.json").json()
        assert [get(path).status_code for path in ("/docs", "/redoc", "/nothing")] == [404, 404, 404]
        assert get("/rerank").status_code == 405
    assert metrics.headers["content-type"].startswith("text/plain")
    for line in (
        'limrank_requests_total{status="200"} 1.0',
        'limrank_requests_total{status="422"} 1.0',
        'limrank_documents_total{model="m",outcome="judged"} 3.0',
        'limrank_batch_requests_count{model="m"} 1.0',
        "limrank_requests_under_way 0.0",
        "limrank_requests_waiting 0.0",
    ):
        assert line in metrics.text
    for path in PATHS:
        operation = described["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/RerankRequest"}
        assert {"200", "401", "413", "422", "429", "502", "503"} <= set(operation["responses"])
    names = described["components"]["schemas"]
    assert {"RerankRequest", "DocumentObject", "RerankAnswer", "Detail"} <= set(names)
    operations = [
        operation["operationId"] for path in described["paths"].values() for operation in path.values()
    ]
    assert len(operations) == len(set(operations))
