"""Rankings with failures are logged once, by whoever knows the keys."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from limrank_plugins import Reranker, ScriptedBackend, failure_log
from limrank_plugins.backends.scripted import ScriptedFailure
from limrank_plugins.data import Query, Ranking, Usage
from limrank_plugins.errors import RankingFailed

KEY = "sk-quoted-by-the-server"


def sick(prompt: Any) -> tuple[float, float]:
    if "bad" in prompt.text:
        raise ScriptedFailure(f"401: {KEY} is no key")
    return (0.0, -1.0)


def reranker(**options: Any) -> Reranker:
    return Reranker("limrank", backend=ScriptedBackend(read_labels=sick), reasoning="none", **options)


def test_one_warning_for_every_ranking_with_failures(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        reranker().rank_many([("one", ["good", "bad", "bad too"]), ("two", ["good"]), ("three", ["bad"])])
    assert [record.name for record in caplog.records] == ["limrank_plugins.failure_log"] * 2
    assert "2 of 3 documents of query 'one'" in caplog.text
    assert "1 of 1 document of query 'three'" in caplog.text
    assert "is no key" in caplog.text


def test_what_was_not_read_as_it_is_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(failure_log, "_said", threading.Event())
    made = [
        Ranking(Query("one"), (), "mini", "similarity", True, Usage(neutralised=2), query_cut_tokens=3),
        Ranking(Query("two"), (), "mini", "similarity", True, Usage(neutralised=1), query_cut_tokens=5),
        Ranking(Query("three"), (), "mini", "similarity", True),
    ]
    with caplog.at_level(logging.WARNING):
        failure_log.log_failures(made[2:], [0])
        assert caplog.records == []
        failure_log.log_failures(made, [0, 0, 0])
        failure_log.log_failures(made, [0, 0, 0])
    told = [record.getMessage() for record in caplog.records]
    assert told == failure_log.remarks(made)
    assert "2 of 3 queries were longer than the model reads: the last 5 tokens" in told[0]
    assert "3 markers such as </think> in queries and passages were neutralised" in told[1]


def test_what_is_raised_is_not_logged(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING), pytest.raises(RankingFailed):
        reranker(on_failure="raise").rank("one", ["bad"])
    assert caplog.records == []


async def test_langchain_logs_without_the_key_and_only_once(caplog: pytest.LogCaptureFixture):
    pytest.importorskip("langchain_core", reason="needs pip install 'limrank[langchain]'")
    from langchain_core.documents import Document

    from limrank_plugins.langchain import LimRankCompressor

    compressor = LimRankCompressor(api_key=KEY)
    compressor._lazy.get(reranker)
    documents = [Document("good"), Document("bad")]
    with caplog.at_level(logging.WARNING):
        compressor.compress_documents(documents, "one")
        await compressor.acompress_documents(documents, "one")
    assert [record.name for record in caplog.records] == ["limrank_plugins.langchain"] * 2
    assert "1 of 2 documents" in caplog.text
    assert "401: *** is no key" in caplog.text
    assert KEY not in caplog.text
