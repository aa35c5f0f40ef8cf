"""What `/metrics` says, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from limrank_plugins.data import Ranking

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one app. Labels hold names of rerankers that are served, never what a client wrote.

    Args:
        under_way: says how many requests are under way.
        waiting: says how many of them wait for a batch.
    """

    def __init__(self, under_way: Callable[[], int], waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "limrank_requests", "Rankings and searches that were answered, by status.", ["status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "limrank_request_seconds", "Seconds from the body of a request to its ranking.", ["model"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._batches = Histogram(
            "limrank_batch_requests", "Requests that were ranked together.", ["model"],
            buckets=_SIZES, registry=self._registry,
        )  # fmt: skip
        self._documents = Counter(
            "limrank_documents", "Documents that were judged, or failed.", ["model", "outcome"],
            registry=self._registry,
        )  # fmt: skip
        self._tokens = Counter(
            "limrank_tokens", "Tokens that were read, or written.", ["model", "kind"], registry=self._registry
        )
        for name, words, count in (
            ("limrank_requests_under_way", "Requests that are accepted and not answered.", under_way),
            ("limrank_requests_waiting", "Requests under way that wait for the next batch.", waiting),
        ):
            Gauge(name, words, registry=self._registry).set_function(count)

    def answered(self, status: int) -> None:
        """A ranking or a search that was asked for got this status; 499 where its client hung up."""
        self._requests.labels(str(status)).inc()

    def began(self, model: str, size: int) -> None:
        """So many requests are ranked together."""
        self._batches.labels(model).observe(size)

    def ranked(self, model: str, ranking: Ranking, seconds: float) -> None:
        """A request was ranked."""
        self._seconds.labels(model).observe(seconds)
        failed = len(ranking.failures)
        self._documents.labels(model, "judged").inc(len(ranking) - failed)
        self._documents.labels(model, "failed").inc(failed)
        self._tokens.labels(model, "read").inc(ranking.usage.prompt_tokens)
        self._tokens.labels(model, "written").inc(ranking.usage.generated_tokens)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)
