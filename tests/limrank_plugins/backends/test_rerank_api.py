"""RerankAPIBackend against servers of every dialect that answer well, badly, late and never."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rerank_servers import SERVERS, cohere_like, results, score
from servers import Answer, Call, LoopbackServer, Waits, close_what_is_left, nobody_listening

from limrank_plugins import Reranker, Store, load_recipe
from limrank_plugins.backends.protocols import Classify, ScorePair
from limrank_plugins.backends.remote import client
from limrank_plugins.backends.remote.dialects import DIALECTS
from limrank_plugins.backends.rerank_api import RerankAPIBackend
from limrank_plugins.cli.search import summary
from limrank_plugins.errors import BackendError, InputError, RankingFailed

KEY = "key-planted-9876543210"
TEXTS = [f"passage number {i}" for i in range(12)]
MANY = [f"passage number {i}" for i in range(70)]
VARIABLES = ("RERANK_API_KEY", "RERANK_BASE_URL", "CO_API_KEY", "COHERE_API_KEY", "JINA_API_KEY")


@pytest.fixture(scope="module", autouse=True)
def _known() -> None:
    """What there is by now is not looked through for garbage after every test."""
    close_what_is_left()
    gc.freeze()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No keys of this machine; sockets of timed-out requests are closed here, not in a later test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    close_what_is_left()


def backend(server: LoopbackServer, /, **options: Any) -> RerankAPIBackend:
    return RerankAPIBackend("m", **({"base_url": server.url, "api_key": KEY, "sleep": Waits()} | options))


def reranker(server: LoopbackServer, /, recipe: str = "rerank-api", **options: Any) -> Reranker:
    return Reranker(recipe, backend=backend(server, **options))


def by_text(ranking: Any) -> dict[str, float]:
    return {hit.document.text: hit.score for hit in ranking if hit.score is not None}


def expected(texts: list[str]) -> Any:
    return pytest.approx({text: score(text) for text in texts})


# ---- right answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_spoken_as_its_server_wants(dialect: str):
    with LoopbackServer(SERVERS[dialect]) as server:
        ranking = reranker(server, dialect=dialect).rank("why", MANY)
        sizes = [len(next(v for v in call.body.values() if isinstance(v, list))) for call in server.calls]
        assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {KEY}"}
    assert ranking.failures == ()
    assert by_text(ranking) == expected(MANY)
    assert ranking.ids == [str(i) for i in sorted(range(70), key=lambda i: -score(MANY[i]))]
    assert sorted(sizes) == ([6, 32, 32] if dialect == "tei" else [70])
    if dialect in ("cohere", "litellm"):
        assert (ranking.usage.searches, ranking.usage.prompt_tokens) == (1.0, 0)
    else:
        assert (ranking.usage.searches, ranking.usage.prompt_tokens) == (0.0, 7 * 70)
    assert (ranking.score_kind, ranking.comparable, ranking.usage.cost) == ("relevance", False, 0.0)


def test_there_is_a_server_for_every_dialect():
    assert SERVERS.keys() == DIALECTS.keys()


@pytest.mark.parametrize(
    ("base", "path", "dialect"),
    [
        ("", "/rerank", "auto"), ("/", "/rerank", "auto"), ("/v1", "/v1/rerank", "auto"),
        ("/v2/", "/v2/rerank", "cohere"), ("/v1/rerank", "/v1/rerank", "auto"),
        ("/rerank/", "/rerank", "auto"), ("/v1/reranking", "/v1/reranking", "mixedbread"),
    ],
)  # fmt: skip
def test_the_address_may_end_before_the_path_or_with_it(base: str, path: str, dialect: str):
    def script(call: Call) -> Any:
        return {"results": results(call.body.get("documents") or call.body["input"])}

    with LoopbackServer(script) as server:
        made = backend(server, base_url=f"http://127.0.0.1:{server.port}{base}", dialect=dialect)
        assert len(by_text(Reranker("rerank-api", backend=made).rank("why", TEXTS))) == 12
        assert [call.path for call in server.calls] == [path]


def test_hosted_services_are_known_by_their_address(monkeypatch: pytest.MonkeyPatch):
    def found(**options: Any) -> tuple[str, str]:
        made = RerankAPIBackend("m", api_key=KEY, **options)
        return made._dialect.name, made._url

    assert found() == ("cohere", "https://api.cohere.com/v2/rerank")
    assert found(base_url="https://api.jina.ai") == ("jina", "https://api.jina.ai/v1/rerank")
    assert found(base_url="https://api.voyageai.com/v1") == ("voyage", "https://api.voyageai.com/v1/rerank")
    assert found(dialect="mixedbread") == ("mixedbread", "https://api.mixedbread.com/v1/reranking")
    assert found(base_url="http://rerank") == ("cohere", "http://rerank/rerank")
    monkeypatch.setenv("RERANK_BASE_URL", "http://localhost:8080")
    assert found() == ("cohere", "http://localhost:8080/rerank")
    assert found(dialect="tei") == ("tei", "http://localhost:8080/rerank")


def test_a_query_goes_out_in_calls_of_its_own():
    jobs = [(f"query {i}", TEXTS[i:]) for i in range(5)] + [("none", []), ("one", ["one"])]
    with LoopbackServer(cohere_like) as server:
        made = reranker(server, batch_size=5)
        together = made.rank_many(jobs)
        assert all(len(call.body["documents"]) <= 5 for call in server.calls)
        assert len(server.calls) == 3 + 3 + 2 + 2 + 2 + 1
        alone = [made.rank(query, texts) for query, texts in jobs]
        awaited = asyncio.run(made.arank_many(jobs))
    assert [ranking.hits for ranking in together] == [ranking.hits for ranking in alone]
    assert [ranking.hits for ranking in together] == [ranking.hits for ranking in awaited]
    assert [by_text(ranking) for ranking in together] == [expected(texts) for _, texts in jobs]


def test_scores_are_comparable_only_where_the_caller_knows_that():
    with LoopbackServer(cohere_like) as server:
        with pytest.raises(InputError, match="not comparable"):
            reranker(server).rank("why", TEXTS, threshold=0.5)
        found = reranker(server, "rerank-api:scores=probability").rank("why", TEXTS, threshold=0.5)
    assert (found.score_kind, found.comparable) == ("probability", True)
    assert sorted(by_text(found)) == sorted(text for text in TEXTS if score(text) >= 0.5)


@pytest.mark.parametrize("value", [7.2, -0.01, 1.0000001])
def test_a_score_that_is_no_probability_fails_where_probabilities_were_promised(value: float):
    def script(call: Call) -> Any:
        return {"results": changed(results(call.body["documents"]), 3, relevance_score=value)}

    with LoopbackServer(script) as server:
        found = reranker(server, "rerank-api:scores=probability").rank("why", TEXTS)
        as_logits = reranker(server, "rerank-api:scores=logit").rank("why", TEXTS)
    assert [failure.id for failure in found.failures] == ["3"]
    assert found.failures[0].reason.startswith(f"the score is {value:g}, which is no probability: give ")
    assert "scores=logit" in found.failures[0].reason
    assert by_text(found) == expected([*TEXTS[:3], *TEXTS[4:]])
    assert by_text(as_logits)[TEXTS[3]] == value


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0])
def test_both_ends_are_probabilities(value: float):
    rows = [{"index": 0, "relevance_score": value}]
    with LoopbackServer(lambda call: {"results": rows}) as server:
        (hit,) = reranker(server, "rerank-api:scores=probability").rank("why", ["one"])
    assert hit.score == value


def test_a_store_holds_each_score(tmp_path: Path):
    with LoopbackServer(cohere_like) as server, Store(tmp_path / "store.sqlite") as store:
        first = Reranker("rerank-api", backend=backend(server), store=store).rank("why", TEXTS[:6])
        again = Reranker("rerank-api", backend=backend(server), store=store).rank("why", TEXTS)
        assert [call.body["documents"] for call in server.calls] == [TEXTS[:6], TEXTS[6:]]
        other = Reranker("rerank-api", backend=backend(server, revision="2"), store=store).rank("why", TEXTS)
        assert len(server.calls) == 3
    assert (first.usage.calls, again.usage.calls, again.usage.cached, other.usage.cached) == (6, 6, 6, 0)
    assert by_text(again) == expected(TEXTS)


# ---- lists --------------------------------------------------------------------------------------


def relative(call: Call) -> Any:
    """A model that reads the list: a score depends on how many documents there are."""
    rows = results(call.body["documents"])
    return {"results": [{**row, "relevance_score": row["relevance_score"] / len(rows)} for row in rows]}


def test_a_model_that_reads_lists_is_asked_about_the_whole_list():
    with LoopbackServer(relative) as server:
        ranking = reranker(server, "rerank-api:mode=list").rank("why", MANY)
        assert len(server.calls) == 1
        short = reranker(server, "rerank-api:mode=list", batch_size=69).rank("why", MANY)
        assert len(server.calls) == 1, "a part of the list has other scores"
    assert by_text(ranking) == pytest.approx({text: score(text) / 70 for text in MANY})
    assert ranking.comparable is False
    assert len(short.failures) == 70
    assert "the list has 70 documents, but the server takes 69 in one call" in short.failures[0].reason


def test_a_list_with_a_missing_score_fails_as_a_whole():
    with LoopbackServer(lambda call: {"results": results(call.body["documents"])[1:]}) as server:
        ranking = reranker(server, "rerank-api:mode=list").rank("why", TEXTS)
    assert len(ranking.failures) == 12


@pytest.mark.parametrize("model", ["jina-reranker-v3", "jinaai/jina-reranker-v3.5"])
def test_a_model_known_to_read_lists_is_not_asked_about_parts(model: str):
    with LoopbackServer(cohere_like) as server:
        made = RerankAPIBackend(model, base_url=server.url)
        with pytest.raises(InputError, match="rerank-api:mode=list"):
            Reranker("rerank-api", backend=made).rank("why", TEXTS)
        assert len(Reranker("rerank-api:mode=list", backend=made).rank("why", TEXTS).failures) == 0
        assert len(server.calls) == 1


def test_both_ways_can_be_asked_without_a_reranker():
    with LoopbackServer(cohere_like) as server:
        made = backend(server)
        told: dict[int, Any] = {}
        pairs = [ScorePair(query, text) for text in TEXTS[:3] for query in ("a", "b")]
        replies = asyncio.run(made.score_pairs(pairs, arrived=told.__setitem__))
        lists = asyncio.run(made.classify([Classify("a", tuple(TEXTS[:3]))], arrived=told.__setitem__))
    assert [reply.values[0] for reply in replies] == [score(pair.passage) for pair in pairs]
    assert lists[0].values == tuple(map(score, TEXTS[:3]))
    assert len(told) == 6


# ---- faults -------------------------------------------------------------------------------------

Rows = list[dict[str, Any]]


def changed(rows: Rows, place: int, **fields: Any) -> Rows:
    return [{**row, **fields} if row["index"] == place else row for row in rows]


def from_one(rows: Rows) -> Rows:
    return [{**row, "index": row["index"] + 1} for row in rows]


PASSING = {
    "429": Answer({"message": "slow down"}, 429, {"Retry-After": "7"}),
    "503": Answer({}, 503),
    "half": Answer({"results": []}, keep=5),
    "reset": Answer(reset=True),
}
# One document of a good answer has no usable score.
OF_ONE = {
    "missing": (lambda rows: [row for row in rows if row["index"] != 3], "no score for document 3 of 6"),
    "nan": (lambda rows: changed(rows, 3, relevance_score=float("nan")), "score is nan"),
    "infinite": (lambda rows: changed(rows, 3, relevance_score=float("inf")), "score is inf"),
    "null": (lambda rows: changed(rows, 3, relevance_score=None), "score is None"),
    "text": (lambda rows: changed(rows, 3, relevance_score="0.9"), r"score is '0\.9'"),
    "true": (lambda rows: changed(rows, 3, relevance_score=True), "score is True"),
    "huge": (lambda rows: changed(rows, 3, relevance_score=10**400), "score is"),
    "no field": (lambda rows: [*[r for r in rows if r["index"] != 3], {"index": 3}], "score is None"),
}
# The answer does not say which document is which.
OF_ALL = {
    "doubled": (lambda rows: changed(rows, 3, index=2), "document 2 of 6 two scores"),
    "twice": (lambda rows: [*rows, rows[0]], "two scores"),
    "too high": (lambda rows: changed(rows, 3, index=6), "to document 6 of 6"),
    "counted from 1": (
        lambda rows: [{**row, "index": row["index"] + 1} for row in rows],
        "to document 6 of 6",
    ),
    "negative": (lambda rows: changed(rows, 3, index=-1), "to document -1 of 6"),
    "as text": (lambda rows: changed(rows, 3, index="3"), "to document '3' of 6"),
    "as bool": (lambda rows: changed(rows, 1, index=True), "to document True of 6"),
    "as float": (lambda rows: changed(rows, 3, index=3.0), "to document 3.0 of 6"),
    "none": (lambda rows: [{"relevance_score": row["relevance_score"]} for row in rows], "to document None"),
    "no rows": (lambda rows: [1, 2], "no list of results"),
    "error beside it": (
        lambda rows: {"results": rows, "error": "CUDA out of memory"},
        "failed: CUDA out of mem",
    ),
    "error object": (lambda rows: {"results": rows, "error": {"code": 7}}, "writes that it failed: "),
    "named twice": (
        lambda rows: Answer(json.dumps({"results": rows, "x": []}).replace('"x"', '"results"').encode()),
        "names 'results' twice",
    ),
    "score twice": (
        lambda rows: Answer(
            json.dumps({"results": rows}).replace('"index"', '"relevance_score": 1, "index"').encode()
        ),
        "names 'relevance_score' twice",
    ),
    "text of another": (
        lambda rows: changed(rows, 3, document={"text": TEXTS[4]}),
        "document 3 of 6 the text of another",
    ),
    "plain text of another": (lambda rows: changed(rows, 3, document=TEXTS[0]), "the text of another"),
    "no list": (lambda rows: "all good", "no list of results"),
}
# The second of two calls comes to nothing.
LASTING: dict[str, tuple[Any, str]] = {
    "not json": (Answer(b'{"results": [{"ind'), "not JSON"),
    "page": (Answer(b"<html>busy</html>"), "it is a web page"),
    "latin": (Answer('{"message": "occupé"}'.encode("latin-1")), "its content-type must name the encoding"),
    "error page": (Answer(b"<html>bad gateway</html>", 502), "HTTP 502.*asked 6 times"),
    "empty": (Answer({}), "no list of results"),
    "error": (Answer({"error": "out of memory"}), "out of memory"),
    "400": (Answer({"message": "invalid type"}, 400), "HTTP 400.*invalid type"),
    "always 500": (Answer({}, 500), "HTTP 500.*asked 6 times"),
    "elsewhere": (
        Answer({}, 307, {"location": "http://example.com/v1/rerank"}), "redirects to http://example.com"
    ),
    "half, always": (Answer({"results": []}, keep=5), "asked 6 times"),
    "never": (None, "no answer within 3 s"),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_results_in_any_order_go_to_their_own_documents(seed: int):
    def script(call: Call) -> Any:
        rows = results(call.body["documents"])
        random.Random(seed).shuffle(rows)
        return {"results": rows}

    with LoopbackServer(script) as server:
        assert by_text(reranker(server, batch_size=6).rank("why", TEXTS)) == expected(TEXTS)


@pytest.mark.parametrize("fault", PASSING)
def test_faults_that_pass_cost_nothing_but_time(fault: str):
    def script(call: Call) -> Any:
        return PASSING[fault] if call.number < 2 else cohere_like(call)

    waits = Waits()
    with LoopbackServer(script) as server:
        ranking = reranker(server, sleep=waits).rank("why", TEXTS)
        assert len(server.calls) == 3
    assert ranking.failures == ()
    assert by_text(ranking) == expected(TEXTS)
    assert fault != "429" or all(7.0 <= seconds <= 7.7 for seconds in waits.seconds)
    assert ranking.usage.uncertain == (2 if fault in ("half", "reset") else 0)


@pytest.mark.parametrize("fault", OF_ONE)
def test_a_document_without_a_score_fails_alone(fault: str):
    change, reason = OF_ONE[fault]

    def script(call: Call) -> Any:
        rows = results(call.body["documents"])
        return {"results": change(rows) if TEXTS[3] in call.body["documents"] else rows}

    with LoopbackServer(script) as server:
        ranking = reranker(server, batch_size=6).rank("why", TEXTS)
    assert [failure.id for failure in ranking.failures] == ["3"]
    assert re.search(reason, ranking.failures[0].reason), ranking.failures
    assert (ranking[3].id, ranking[3].score) == ("3", None), "a failed document keeps its place"
    assert by_text(ranking) == expected([*TEXTS[:3], *TEXTS[4:]])


@pytest.mark.parametrize("fault", OF_ALL)
def test_no_score_is_believed_of_an_answer_that_mixes_documents_up(fault: str):
    change, reason = OF_ALL[fault]

    def script(call: Call) -> Any:
        rows = results(call.body["documents"])
        changed = change(rows) if TEXTS[3] in call.body["documents"] else rows
        return changed if isinstance(changed, dict | Answer) else {"results": changed}

    with LoopbackServer(script) as server:
        made = reranker(server, batch_size=6)
        ranking = made.rank("why", TEXTS)
        assert len(server.calls) == 2, "what makes no sense is not asked again"
        with pytest.raises(RankingFailed, match="document '0' could not be judged"):
            Reranker("rerank-api", backend=made.backend, on_failure="raise").rank("why", TEXTS)
    assert [failure.id for failure in ranking.failures] == list("012345")
    assert all(re.search(reason, failure.reason) for failure in ranking.failures), ranking.failures
    assert by_text(ranking) == expected(TEXTS[6:])
    assert ranking.usage.uncertain == 1, "the server did work, and may charge for it"


@pytest.mark.parametrize("more", [{"error": None}, {"error": ""}, {"error": {}}])
def test_an_error_that_is_none_spoils_nothing(more: dict[str, Any]):
    with LoopbackServer(lambda call: cohere_like(call) | more) as server:
        assert by_text(reranker(server).rank("why", TEXTS)) == expected(TEXTS)


@pytest.mark.parametrize("document", [TEXTS[3], {"text": TEXTS[3]}, {"text": "passage…"}, None, {}, 3])
def test_a_returned_document_that_contradicts_nothing_spoils_nothing(document: Any):
    def script(call: Call) -> Any:
        return {"results": changed(results(call.body["documents"]), 3, document=document)}

    with LoopbackServer(script) as server:
        assert by_text(reranker(server).rank("why", TEXTS)) == expected(TEXTS)


def test_a_byte_order_mark_before_an_answer_is_left_out():
    with LoopbackServer(lambda call: Answer(json.dumps(cohere_like(call)).encode("utf-8-sig"))) as server:
        assert by_text(reranker(server).rank("why", TEXTS)) == expected(TEXTS)


@pytest.mark.parametrize("fault", LASTING)
def test_faults_that_last_fail_the_documents_of_their_call_only(fault: str):
    answer, reason = LASTING[fault]

    async def script(call: Call) -> Any:
        if TEXTS[3] not in call.body["documents"]:
            return cohere_like(call)
        if answer is None:
            await asyncio.Event().wait()
        return answer

    # Long enough for a busy machine to answer all the others in.
    patience = {"timeout": 3.0, "max_retries": 0} if fault == "never" else {}

    with LoopbackServer(script) as server:
        ranking = reranker(server, batch_size=6, **patience).rank("why", TEXTS)
    assert [failure.id for failure in ranking.failures] == list("012345")
    assert all(re.search(reason, failure.reason) for failure in ranking.failures), ranking.failures
    assert by_text(ranking) == expected(TEXTS[6:])


def test_a_huge_reply_is_not_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "MOST_BYTES", 1 << 20)
    with LoopbackServer(lambda call: Answer(b" " * (2 << 20))) as server:
        ranking = reranker(server).rank("why", TEXTS)
    assert {failure.reason for failure in ranking.failures} == {
        "the server's reply is larger than 1 MiB: it was not read"
    }
    assert len(ranking.failures) == 12


# ---- refusals -----------------------------------------------------------------------------------

TOO_LONG = {
    "TEI": Answer({"error": "`inputs` must have less than 512 tokens. Given: 900", "error_type": "X"}, 422),
    "vLLM": Answer({"error": {"message": "maximum context length is 512 tokens"}}, 400),
    "llama-server": Answer({"error": {"message": "input (900 tokens) is too large to process."}}, 500),
    "a proxy": Answer(b"payload too large", 413),
    "SGLang": Answer({"message": "Each document must be a non-empty string"}, 400),
    "Voyage": Answer(
        {
            "detail": "Request to model 'rerank-2.5' failed. The max allowed tokens per submitted batch is "
            "600000. Your batch has 912345 tokens after truncation. Please lower the number of tokens."
        },
        400,
    ),
    "asked for": Answer({"message": "context length is 512 tokens, you requested 700"}, 400),
    "says nothing": Answer(b"", 413),
    "a limit": Answer({"message": "input limit of 512 tokens reached"}, 422),
}


@pytest.mark.parametrize("server_kind", TOO_LONG)
def test_a_document_that_is_refused_is_looked_for_and_fails_alone(server_kind: str):
    def script(call: Call) -> Any:
        return TOO_LONG[server_kind] if TEXTS[3] in call.body["documents"] else cohere_like(call)

    with LoopbackServer(script) as server:
        ranking = reranker(server).rank("why", TEXTS)
        assert [len(call.body["documents"]) for call in server.calls] == [12, 6, 3, 3, 1, 2, 6]
    assert [failure.id for failure in ranking.failures] == ["3"]
    assert by_text(ranking) == expected([*TEXTS[:3], *TEXTS[4:]])


@pytest.mark.parametrize("status", [400, 429])
def test_a_spent_budget_is_told_after_one_call(status: int):
    said = {
        "message": "Budget has been exceeded! Current cost: 1.0, Max budget: 0.5",
        "type": "budget_exceeded",
    }
    with LoopbackServer(lambda call: Answer({"error": said}, status)) as server:
        with pytest.raises(BackendError, match=f"HTTP {status}: .*the quota or the balance is spent"):
            reranker(server, dialect="litellm").rank("why", MANY)
        assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (429, "Rate limit exceeded"),
        (503, "the maximum of the queue is exceeded"),
        (400, "You exceeded the quota of calls per month"),
    ],
)
def test_a_limit_that_smaller_calls_would_not_keep_is_not_halved_for(status: int, message: str):
    with LoopbackServer(lambda call: Answer({"message": message}, status)) as server:
        assert len(reranker(server, max_retries=0).rank("why", MANY).failures) == 70
        assert len(server.calls) == 1


def test_a_server_that_takes_fewer_than_the_table_says_is_asked_for_fewer():
    def script(call: Call) -> Any:
        if len(call.body["texts"]) > 8:
            return Answer({"error": "batch size > maximum allowed batch size 8"}, 422)
        return results(call.body["texts"], "score")

    with LoopbackServer(script) as server:
        ranking = reranker(server, dialect="tei").rank("why", MANY)
    assert ranking.failures == ()
    assert by_text(ranking) == expected(MANY)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer({"detail": "Not Found"}, 404), "HTTP 404"),
        (Answer({"detail": [{"loc": ["body", "texts"], "msg": "field required"}]}, 422), "field required"),
        (Answer({}, 405), "HTTP 405"),
    ],
)
def test_a_server_that_does_not_understand_the_first_call_is_told_with_the_dialects(
    answer: Answer, message: str
):
    with LoopbackServer(lambda call: answer) as server:
        with pytest.raises(BackendError) as caught:
            reranker(server).rank("why", TEXTS)
        assert len(server.calls) == 1
    told = str(caught.value)
    assert message in told
    assert f"POST {server.url}/rerank was asked in the dialect 'cohere'" in told
    assert all(name in told for name in DIALECTS)


def test_a_server_that_has_answered_is_not_suspected_of_another_dialect():
    def script(call: Call) -> Any:
        return Answer({"detail": "no"}, 422) if call.number else cohere_like(call)

    with LoopbackServer(script) as server:
        made = reranker(server)
        made.rank("why", TEXTS)
        assert "dialect" not in made.rank("how", TEXTS).failures[0].reason


def test_a_wrong_dialect_fails_before_anything_is_mistaken():
    for wanted, spoken in (("tei", "cohere"), ("mixedbread", "cohere"), ("cohere", "tei")):
        with LoopbackServer(SERVERS[wanted]) as server, pytest.raises(BackendError, match="dialect"):
            reranker(server, dialect=spoken).rank("why", TEXTS)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_told_with_its_variable(status: int):
    with LoopbackServer(lambda call: Answer({"message": f"bad key {KEY}"}, status)) as server:
        with pytest.raises(BackendError, match=rf"HTTP {status}.*\*\*\*.*check the key: .*RERANK_API_KEY"):
            reranker(server).rank("why", TEXTS)


def test_a_server_that_is_not_there_is_said_to_be_so():
    told = r"no connection: .*no server can be reached"
    with (
        LoopbackServer(cohere_like) as server,
        nobody_listening() as url,
        pytest.raises(BackendError, match=told),
    ):
        reranker(server, base_url=f"{url}/v1", max_retries=1).rank("why", TEXTS)


def test_a_redirect_within_the_server_is_followed_and_one_away_gets_neither_key_nor_passages():
    def home(call: Call) -> Any:
        if call.path == "/v1/rerank":
            return Answer({}, 307, {"location": "/v2/rerank"})
        return cohere_like(call)

    with LoopbackServer(home) as server:
        assert by_text(reranker(server).rank("why", TEXTS)) == expected(TEXTS)
        assert server.calls[1].headers["authorization"] == f"Bearer {KEY}"
    with LoopbackServer(cohere_like) as other:
        away = Answer({}, 307, {"location": f"{other.url}/rerank"})
        with LoopbackServer(lambda call: away) as server:
            assert len(reranker(server).rank("why", TEXTS).failures) == 12
        assert other.calls == []


# ---- what is charged ----------------------------------------------------------------------------


def test_prices_are_taken_where_units_are_told_and_unknown_where_not():
    with LoopbackServer(SERVERS["cohere"]) as server:
        one = reranker(server, search_price=0.002).rank("why", [f"passage {i}" for i in range(250)])
        assert (one.usage.searches, one.usage.cost) == (3.0, pytest.approx(0.006))
        assert "3 search units; $0.0060" in summary(one, 250, 1.0)
        unpriced = reranker(server).rank("why", TEXTS)
        assert "1 search unit of unknown price" in summary(unpriced, 12, 1.0)
        with pytest.warns(UserWarning, match="does not say how many tokens it charged"):
            other = reranker(server, token_price=0.05).rank("why", TEXTS)
    assert other.usage.cost == 0.0
    with LoopbackServer(SERVERS["voyage"]) as server:
        by_token = reranker(server, dialect="voyage", token_price=0.05).rank("why", TEXTS)
    assert by_token.usage.cost == pytest.approx(12 * 7 * 0.05 / 1e6)


def test_an_answer_that_is_not_believed_costs_what_it_says():
    def script(call: Call) -> Any:
        billed = {"billed_units": {"search_units": 1}}
        return {
            "results": from_one(results(call.body["documents"])),
            "usage": {"total_tokens": 900},
            "meta": billed,
        }

    with LoopbackServer(script) as server:
        searched = reranker(server, search_price=0.002).rank("why", TEXTS)
        read = reranker(server, token_price=1.0).rank("why", TEXTS)
    assert len(searched.failures) == len(read.failures) == 12
    assert (searched.cost, searched.usage.searches) == (pytest.approx(0.002), 1.0)
    assert (read.cost, read.usage.prompt_tokens) == (pytest.approx(0.0009), 900)
    with LoopbackServer(lambda call: script(call) | {"meta": {}}) as server:
        assert reranker(server, search_price=0.002).rank("why", TEXTS).cost is None


def test_what_a_server_warns_of_is_said_once():
    def script(call: Call) -> Any:
        return {**cohere_like(call), "meta": {"warnings": [f"document 2 was truncated, {KEY}"]}}

    with LoopbackServer(script) as server:
        made = reranker(server, batch_size=3)
        with pytest.warns(UserWarning, match=r"the server warns: document 2 was truncated, \*\*\*") as said:
            assert by_text(made.rank("why", TEXTS)) == expected(TEXTS)
        assert len(said) == 1
        made.rank("how", TEXTS)


@pytest.mark.parametrize(
    "body",
    [
        {"usage": {"total_tokens": "many"}},
        {"usage": {"total_tokens": -5, "prompt_tokens": True}},
        {"usage": [], "meta": {"billed_units": {"search_units": float("nan")}, "tokens": 3}},
        {"meta": {"warnings": "none", "billed_units": {"search_units": 10**400}}},
    ],
)
def test_counts_that_are_none_are_not_counted(body: dict[str, Any]):
    with LoopbackServer(lambda call: {"results": results(call.body["documents"]), **body}) as server:
        ranking = reranker(server).rank("why", TEXTS)
    assert by_text(ranking) == expected(TEXTS)
    assert (ranking.usage.prompt_tokens, ranking.usage.searches, ranking.usage.cost) == (0, 0.0, 0.0)


# ---- what is sent, and what never is ------------------------------------------------------------


def test_fields_of_the_caller_are_sent_but_not_in_place_of_ours():
    with LoopbackServer(SERVERS["tei"]) as server:
        reranker(server, dialect="tei", body={"truncate": True, "raw_scores": True}).rank("why", TEXTS)
        assert server.calls[0].body == {"query": "why", "texts": TEXTS, "truncate": True, "raw_scores": True}
        for field in ("texts", "query"):
            with pytest.raises(InputError, match=f"body must not hold '{field}'"):
                backend(server, dialect="tei", body={field: "x"})
        with pytest.raises(InputError, match="body must not hold 'top_n'"):
            backend(server, body={"top_n": 3})
        reranker(server, dialect="tei", body={}).rank("why", TEXTS)


def test_markers_in_passages_are_broken():
    with LoopbackServer(cohere_like) as server:
        ranking = reranker(server).rank("why </think>", ["milk <|im_end|> yes", "a [SEP] b", "a < b"])
        sent = server.calls[0].body
    assert sent["query"] == "why < /think>"
    assert sorted(sent["documents"]) == ["a < b", "a [ SEP] b", "milk < |im_end|> yes"]
    assert ranking.usage.neutralised == 3


def test_a_planted_key_appears_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RERANK_API_KEY", KEY)

    def script(call: Call) -> Any:
        if TEXTS[3] in call.body["documents"]:
            return Answer({"message": f"your key {KEY} may not"}, 400)
        if TEXTS[6] in call.body["documents"]:
            return {"results": KEY}
        return cohere_like(call)

    with caplog.at_level(logging.DEBUG), LoopbackServer(script) as server:
        with Store(tmp_path / "store.sqlite") as store:
            made = RerankAPIBackend("m", base_url=f"{server.url}?token={KEY}x", batch_size=3, sleep=Waits())
            ranking = Reranker("rerank-api", backend=made, store=store).rank("why", TEXTS)
            assert server.calls[0].headers["authorization"] == f"Bearer {KEY}", "the server does get it"
            assert server.calls[0].path == f"/v1/rerank?token={KEY}x"
            with pytest.raises(RankingFailed) as caught:
                Reranker("rerank-api", backend=made, on_failure="raise").rank("why", TEXTS)
    shown = "".join(traceback.format_exception(caught.value))
    files = b"".join(part.read_bytes() for part in tmp_path.iterdir())
    assert len(ranking.failures) == 6
    for text in (repr(made), str(vars(made)), made.identity, repr(ranking), shown, caplog.text):
        assert KEY not in text
    assert KEY.encode() not in files


def test_a_providers_key_goes_to_the_provider_only(monkeypatch: pytest.MonkeyPatch):
    for name in ("CO_API_KEY", "JINA_API_KEY", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID"):
        monkeypatch.setenv(name, KEY)
    with LoopbackServer(cohere_like) as server:
        for dialect in ("auto", "cohere", "jina"):
            made = RerankAPIBackend("m", base_url=server.url, dialect=dialect)
            Reranker("rerank-api", backend=made).rank("why", TEXTS)
        assert not any(KEY in str(call.headers) for call in server.calls)
        assert not any("authorization" in call.headers for call in server.calls)
    monkeypatch.delenv("CO_API_KEY")
    with pytest.raises(InputError, match="no API key: set CO_API_KEY or COHERE_API_KEY or RERANK_API_KEY"):
        RerankAPIBackend("m")
    monkeypatch.setenv("RERANK_API_KEY", KEY)
    assert RerankAPIBackend("m")._url == "https://api.cohere.com/v2/rerank"


def test_identity_is_what_makes_scores_interchangeable():
    url = "http://localhost:1"
    given: list[dict[str, Any]] = [
        {}, {"revision": "2"}, {"dialect": "tei"}, {"base_url": f"{url}/v1"},
        {"base_url": f"{url}?key=secret"}, {"body": {"raw_scores": True}},
    ]  # fmt: skip
    made = [RerankAPIBackend("m", **({"base_url": url} | options)).identity for options in given]
    made += [RerankAPIBackend("n", base_url=url).identity]
    assert len(set(made)) == len(made)
    assert not any("secret" in identity for identity in made)
    same = [{"api_key": KEY}, {"batch_size": 3}, {"concurrency": 2}, {"search_price": 1.0}]
    assert {RerankAPIBackend("m", base_url=url, **options).identity for options in same} == {made[0]}


def test_bad_arguments_are_named():
    url = "http://localhost:1"
    for name, value in (("dialect", "cohre"), ("batch_size", 0), ("concurrency", 0), ("timeout", 0),
                        ("search_price", -1), ("token_price", float("nan"))):  # fmt: skip
        with pytest.raises(InputError, match=name):
            RerankAPIBackend("m", **{"base_url": url, name: value})
    with pytest.raises(InputError, match="dialect 'tei' is spoken by servers of your own: give base_url"):
        RerankAPIBackend("m", dialect="tei")
    for body in ("x", [], ["truncate"], 3, ""):
        with pytest.raises(InputError, match=r"body must be an object of fields .* but got (str|list|int)"):
            RerankAPIBackend("m", base_url=url, body=body)
    with pytest.raises(InputError, match="login"):
        RerankAPIBackend("m", base_url="http://user:word@localhost")
    for options in ({"mode": "lists"}, {"scores": "good"}, {"mode": "list", "scores": "logit"}):
        with pytest.raises(InputError, match=r"mode|scores"):
            load_recipe("rerank-api", **options)


# ---- through every door -------------------------------------------------------------------------


def test_it_can_be_named():
    with LoopbackServer(cohere_like) as server:
        made = Reranker("rerank-api", model="m", base_url=server.url)
        assert by_text(made.rank("why", TEXTS)) == expected(TEXTS)
        made.close()


def test_the_command_line(tmp_path: Path):
    from typer.testing import CliRunner

    from limrank_plugins.cli import build_app

    corpus, queries, run = tmp_path / "c.jsonl", tmp_path / "q.jsonl", tmp_path / "run.jsonl"
    corpus.write_text("".join(json.dumps({"_id": f"d{i}", "text": t}) + "\n" for i, t in enumerate(TEXTS)))
    queries.write_text('{"_id": "q1", "text": "which passage number"}\n')
    with LoopbackServer(SERVERS["tei"]) as server:
        words = [
            "rerank",
            "-q",
            str(queries),
            "-c",
            str(corpus),
            "-o",
            str(run),
            "--recipe",
            "rerank-api",
            "--json",
        ]
        words += ["--option", f"base_url={server.url}", "--option", "dialect=tei"]
        done = CliRunner().invoke(build_app(), words)
        assert done.exit_code == 0, done.output
    record = json.loads(run.read_text())
    assert {hit["id"]: hit["score"] for hit in record["hits"]} == pytest.approx(
        {f"d{i}": score(text) for i, text in enumerate(TEXTS)}
    )
    assert record["failures"] == []


def test_llama_index():
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(i))) for i, text in enumerate(TEXTS)]
    with LoopbackServer(cohere_like) as server:
        made = LimRankRerank(recipe="rerank-api", model="m", base_url=server.url, api_key=KEY, top_n=12)
        found = made.postprocess_nodes(nodes, query_str="why")
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert {node.node.text: node.score for node in found} == expected(TEXTS)


def test_haystack():
    pytest.importorskip("haystack")
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.limrank import LimRankRanker

    documents = [Document(content=text) for text in TEXTS]
    with LoopbackServer(cohere_like) as server:
        made = LimRankRanker(
            recipe="rerank-api", model="m", api_base_url=server.url, api_key=Secret.from_token(KEY), top_k=12
        )
        found = made.run(query="why", documents=documents)["documents"]
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert {document.content: document.score for document in found} == expected(TEXTS)


def test_langchain():
    pytest.importorskip("langchain_core")
    from langchain_core.documents import Document

    from limrank_plugins.langchain import LimRankCompressor

    documents = [Document(page_content=text) for text in TEXTS]
    with LoopbackServer(cohere_like) as server:
        made = LimRankCompressor(
            recipe="rerank-api", model="m", api_key=KEY, top_n=12, options={"base_url": server.url}
        )
        found = made.compress_documents(documents, "why")
    assert {document.page_content for document in found} == set(TEXTS)
    assert found[0].page_content == max(TEXTS, key=score)
