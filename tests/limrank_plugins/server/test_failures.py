"""Documents that could not be judged: said apart, never scored; and errors of models."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from needs import needs_mini
from scripts import logits
from serving import QUERY, TEXTS, judging, logit, serving

from limrank_plugins import Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.errors import BackendError, InputError

BAD = "this one fails"


def test_a_failed_document_is_no_result_and_has_no_score():
    texts = [BAD, *TEXTS, BAD + " too"]
    with serving(judging()) as service:
        answered = service.rerank(documents=texts, return_documents=True).json()
        cut = service.rerank(documents=texts, top_n=1).json()
        metrics = service.client.get("/metrics").text
    order = sorted((1, 2, 3), key=lambda i: -logit(QUERY, texts[i]))
    assert [result["index"] for result in answered["results"]] == order
    assert answered["failed"] == [
        {"index": 0, "reason": f"the script fails {BAD!r}", "document": {"text": BAD}},
        {"index": 4, "reason": f"the script fails '{BAD} too'", "document": {"text": f"{BAD} too"}},
    ]
    assert answered["meta"]["warnings"] == [
        f"2 of 5 documents could not be judged and are no result; the first one, 0: the script fails {BAD!r}"
    ]
    assert [result["index"] for result in cut["results"]] == order[:1]
    assert [failed["index"] for failed in cut["failed"]] == [0, 4]
    assert 'limrank_documents_total{model="m",outcome="failed"} 4.0' in metrics


def test_ranks_count_judged_documents_only():
    def encode(text: str, role: str) -> list[float]:
        if text == BAD:
            raise ScriptedFailure("it fails")
        return [1.0, float(len(text))]

    with serving(Reranker("mini", backend=ScriptedBackend(encode=encode))) as service:
        answered = service.rerank(documents=["a", BAD, "bb"]).json()
    assert [result["relevance_score"] for result in answered["results"]] == [1.0, 0.5]
    assert [failed["index"] for failed in answered["failed"]] == [1]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([BAD], f"the document could not be judged; the first one, 0: the script fails {BAD!r}"),
        ([BAD, BAD], f"none of the 2 documents could be judged; the first one, 0: the script fails {BAD!r}"),
    ],
)
def test_where_nothing_was_judged_there_is_no_ranking(texts: list[str], said: str):
    with serving(judging()) as service:
        done = service.rerank(documents=texts)
    assert (done.status_code, done.json()) == (502, {"detail": said})


def raising(error: Exception) -> Reranker:
    def script(query: str, passage: str) -> float:
        raise error

    return judging(ScriptedBackend(score_pairs=script))


@pytest.mark.parametrize(
    ("error", "status"),
    [(BackendError("the model is gone"), 502), (InputError("the query does not fit"), 422)],
    ids=str,
)
def test_an_error_that_concerns_all_of_them_is_told(error: Exception, status: int):
    with serving(raising(error)) as service:
        done = service.rerank()
        assert (done.status_code, done.json()) == (status, {"detail": str(error)})
        streamed = service.rerank(stream=True)
        assert f'"status": {status}, "detail": "{error}"' in streamed.text


def test_a_defect_is_answered_without_its_words_and_logged(caplog: pytest.LogCaptureFixture):
    with serving(raising(ZeroDivisionError("secret words"))) as service:
        done = service.rerank()
        assert service.client.get("/health").status_code == 200
    assert done.status_code == 500
    assert done.json() == {"detail": "the server has a defect (ZeroDivisionError); its log says more"}
    assert any(record.exc_info for record in caplog.records)


def test_what_clients_are_told_is_not_logged(caplog: pytest.LogCaptureFixture):
    """Queries are the clients'."""
    with caplog.at_level(logging.DEBUG, "limrank_plugins"), serving(judging()) as service:
        assert service.rerank("a private query", [BAD, "a"]).json()["failed"]
    assert "a private query" not in caplog.text


# ---- max_tokens_per_doc -------------------------------------------------------------------------


class Counting(ScriptedBackend):
    """Says how much it leaves out, so that it can be held to a limit of tokens; one letter is one token."""

    def cuts(self, requests: Any) -> list[int]:
        return [0] * len(requests)


def test_a_limit_of_tokens_is_kept_to_where_the_model_counts_them():
    backend = Counting(read_labels=logits)
    reranker = Reranker("limrank", backend=backend, reasoning="none")
    with serving(reranker) as service:
        for most in (3, 3, 5):
            assert service.rerank(documents=["abcdef", "ab"], max_tokens_per_doc=most).status_code == 200
        assert service.rerank(documents=["abcdef"], max_tokens_per_doc=6).status_code == 200
        assert service.rerank(documents=["abcdef"]).status_code == 200
    asked = [
        [segment.most for segment in request.prompt.segments if segment.cuttable]
        for request in backend.requests
    ]
    assert asked == [[3]] * 4 + [[5]] * 2 + [[None]] * 2


def test_where_it_cannot_be_kept_to_it_is_refused_by_name():
    with serving(
        {"pairs": judging(), "words": Reranker("rankgpt", backend=Counting(generate=str))}
    ) as service:
        done = service.rerank(documents=["abcdef"], max_tokens_per_doc=3)
        assert done.status_code == 422
        assert done.json() == {
            "detail": "max_tokens_per_doc=3 cannot be kept to, as 'pairs' does not count the tokens of a "
            "document: leave it out, or send documents of at most 3 bytes"
        }
        words = service.rerank(documents=["abcdef"], max_tokens_per_doc=3, model="words")
        assert "'words' reads 300 words of a document" in words.json()["detail"]
        assert service.rerank(documents=["abcdef"], max_tokens_per_doc=4096).status_code == 200
        assert service.rerank(documents=["äöü"], max_tokens_per_doc=5).status_code == 422


def test_a_model_that_reads_fewer_tokens_keeps_to_it_by_itself():
    short, long = ScriptedBackend(score_pairs=logit), ScriptedBackend(score_pairs=logit)
    short.reads_at_most, long.reads_at_most = 4, None
    rerankers = {
        "short": judging(short),
        "long": judging(long),
        "in pieces": Reranker("cross-encoder", backend=short, chunks="max:2 words"),
        "none": Reranker("prior"),
        "short fused": Reranker("fuse:parts=prior+cross-encoder", backend=short),
        "long fused": Reranker("fuse:parts=prior+cross-encoder", backend=long),
    }
    with serving(rerankers) as service:
        for model, most, status in (
            ("short", 4, 200), ("short", 5, 200), ("short", 3, 422), ("long", 4, 422),
            ("in pieces", 4, 422), ("none", 1, 200), ("short fused", 4, 200), ("long fused", 4, 422),
        ):  # fmt: skip
            asked = {"documents": ["abcdef"], "max_tokens_per_doc": most, "model": model}
            assert service.rerank(**asked).status_code == status, (model, most)


@needs_mini
def test_mini_takes_the_limit_that_haystack_sends():
    reranker = Reranker("mini")
    before = reranker.backend.reads_at_most
    with serving(reranker) as service:
        long = ["sour milk " * 1000, "bread"]
        done = service.rerank(documents=long, max_tokens_per_doc=4096)
        assert done.json()["results"] == service.rerank(documents=long).json()["results"]
        assert service.rerank(documents=long, max_tokens_per_doc=255).status_code == 422
        fewer = service.rerank(documents=long, max_tokens_per_doc=600).json()
        assert fewer["usage"]["prompt_tokens"] < done.json()["usage"]["prompt_tokens"] / 3
        assert "1 of 2 documents was longer than the model reads" in str(fewer)
    assert before == reranker.backend.reads_at_most == 256


def test_many_limits_are_not_all_remembered():
    reranker = Reranker("limrank", backend=Counting(read_labels=logits), reasoning="none")
    with serving(reranker) as service:
        for most in range(1, 40):
            assert service.rerank(documents=["a" * 50], max_tokens_per_doc=most).status_code == 200
        assert len(service.inside.served["m"]._limited) == 16
