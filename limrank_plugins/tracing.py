"""OpenTelemetry spans in OpenInference's convention: one for each ranked query, one for each call of a model.

Nothing of OpenTelemetry is imported unless `Reranker(trace=…)` asks for it. What spans say is in
`span_attributes.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from limrank_plugins.backends.protocols import Failed, Forget, Reply
from limrank_plugins.data import Document, Query, Ranking
from limrank_plugins.driver import Addressed
from limrank_plugins.errors import InputError, one_sentence, require
from limrank_plugins.reply_store import To
from limrank_plugins.secrecy import redacted
from limrank_plugins.span_attributes import (
    HIDDEN,
    Attributes,
    Hides,
    as_many_as_fit,
    call_attributes,
    input_documents,
    outcome_attributes,
    output_documents,
    ranking_attributes,
)
from limrank_plugins.verdicts import Outcome
from limrank_plugins.wording import number_of

_EVENTS = 20  # failed documents of a query that are told one by one
_LIMITS = ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
_USUAL_LIMIT = 128  # attributes of a span, says the specification


class Tracer:
    """Makes spans.

    Args:
        trace: True for the tracer provider that is set when spans are made, or a provider.
        secrets: what no span may show.

    Raises:
        InputError: `trace` is neither.
        MissingExtra: OpenTelemetry is not installed.
    """

    def __init__(self, trace: Any, secrets: Iterable[str | None] = ()) -> None:
        if trace is not True and not hasattr(trace, "get_tracer"):
            raise InputError(f"trace must be True, False or a tracer provider, but got {trace!r}")
        self.api = require("opentelemetry.trace", "otel", "trace=True")
        self.context = require("opentelemetry.context", "otel", "trace=True")
        self._tracer = self.api.get_tracer("limrank", tracer_provider=None if trace is True else trace)
        self._secrets = tuple(secrets)

    @contextmanager
    def spans(
        self,
        model: str,
        recipe: str,
        jobs: Sequence[tuple[Query, Sequence[Document]]],
        top_n: int | None,
    ) -> Iterator[Spans]:
        """One span for each query, all ended with the block; an error that leaves it is theirs.

        A single query's span is the current one within the block, in all threads and tasks it leads to.
        """
        hides = Hides.from_environment()
        rankings = [
            self.start(
                "limrank.rank", ranking_attributes(model, recipe, query, documents, top_n, hides), None
            )
            for query, documents in jobs
        ]
        token = None
        if len(rankings) == 1:
            token = self.context.attach(self.api.set_span_in_context(rankings[0]))
        spans = Spans(self, rankings, [documents for _, documents in jobs], hides)
        try:
            yield spans
        except BaseException as error:
            for span in rankings:
                self.fail(span, type(error).__qualname__, one_sentence(error), hides, escaped=True)
            raise
        finally:
            spans.write_documents()
            for span in rankings:
                span.end()
            if token is not None:
                self.context.detach(token)

    def start(self, name: str, attributes: Attributes, parent: Any, at: int | None = None) -> Any:
        """A span that has begun, without secrets."""
        context = None if parent is None else self.api.set_span_in_context(parent)
        return self._tracer.start_span(
            name, context=context, attributes=self.clean(attributes), start_time=at
        )

    def clean(self, attributes: Attributes) -> Attributes:
        """The attributes without secrets."""
        if not any(self._secrets):
            return attributes
        return {
            name: redacted(value, self._secrets) if isinstance(value, str) else value
            for name, value in attributes.items()
        }

    def fail(self, span: Any, kind: str, message: str, hides: Hides, *, escaped: bool = False) -> None:
        """Record what went wrong. A message may quote what a model read or wrote."""
        shown = HIDDEN if hides.inputs or hides.outputs else redacted(message, self._secrets)
        event = {"exception.type": kind, "exception.message": shown, "exception.escaped": escaped}
        span.add_event("exception", event)
        span.set_status(self.api.Status(self.api.StatusCode.ERROR, shown))


class Spans:
    """The spans of the queries that are ranked together, in their order."""

    def __init__(
        self, tracer: Tracer, rankings: Sequence[Any], documents: Sequence[Sequence[Document]], hides: Hides
    ) -> None:
        self._tracer, self._rankings, self._hides = tracer, rankings, hides
        self._documents = documents
        self._hits: list[list[Attributes]] = [[] for _ in rankings]

    def watch(self, position: int, program: Addressed[Outcome]) -> Addressed[Outcome]:
        """The program of one query; its calls of models become spans below the query's.

        A reply from the store, or of a request that was asked before in the same list, is no call.
        """
        parent = self._rankings[position]
        if not parent.is_recording():
            return (yield from program)
        try:
            requests = next(program)
            while True:
                began = time.time_ns()
                clocks = [_Clock() for _ in requests]
                replies = yield [
                    replace(request, arrived=clock.stop)
                    for request, clock in zip(requests, clocks, strict=True)
                ]
                for request, reply, clock in zip(requests, replies, clocks, strict=True):
                    if reply.usage.calls and not isinstance(request.request, Forget):
                        self._call(parent, request, reply, began, clock.at or time.time_ns())
                requests = program.send(replies)
        except StopIteration as finished:
            outcome: Outcome = finished.value
            return outcome

    def _call(self, parent: Any, request: To, reply: Reply, began: int, ended: int) -> None:
        """One request that a backend was asked, from when its batch was handed over to its reply."""
        method = type(request.request).method
        attributes = call_attributes(request, reply, self._hides)
        span = self._tracer.start(f"limrank.{method}", attributes, parent, began)
        if isinstance(reply, Failed):
            self._tracer.fail(span, "Failed", reply.reason, self._hides)
        span.end(ended)

    def end(self, rankings: Sequence[Ranking]) -> None:
        """Write what came out."""
        for i, (span, ranking) in enumerate(zip(self._rankings, rankings, strict=True)):
            if not span.is_recording():
                continue
            span.set_attributes(self._tracer.clean(outcome_attributes(ranking)))
            self._hits[i] = output_documents(ranking, self._hides)
            for failure in ranking.failures[:_EVENTS]:
                what = f"document {failure.id!r} could not be judged: {failure.reason}"
                self._tracer.fail(span, "RankingFailed", what, self._hides)
            if failed := len(ranking.failures):
                status = self._tracer.api.Status(
                    self._tracer.api.StatusCode.ERROR, f"{number_of(failed, 'document')} could not be judged"
                )
                span.set_status(status)

    def write_documents(self) -> None:
        """Write as many documents as the spans have room for: those that came out first."""
        for span, hits, documents in zip(self._rankings, self._hits, self._documents, strict=True):
            if span.is_recording():
                listed = [*hits, *input_documents(documents, self._hides)]
                span.set_attributes(self._tracer.clean(as_many_as_fit(listed, _room(span))))


def _room(span: Any) -> int | None:
    """How many attributes a span takes besides those it has; None for any number.

    More would push out the oldest ones, the query and the model.
    """
    limits = getattr(span, "_limits", None)  # the SDK's; nothing public says it
    if limits is not None:
        most = getattr(limits, "max_span_attributes", None)
    else:
        texts = (os.environ.get(name, "").strip() for name in _LIMITS)
        most = next((int(value) for value in texts if value.isdecimal()), _USUAL_LIMIT)
    return None if most is None else max(0, most - len(getattr(span, "attributes", None) or ()))


@dataclass(slots=True)
class _Clock:
    """When a reply arrived, in nanoseconds; None for a backend that does not tell."""

    at: int | None = field(default=None)

    def stop(self) -> None:
        self.at = time.time_ns()


class NoSpans:
    """Takes the place of `Spans` where nothing is traced."""

    def watch(self, position: int, program: Addressed[Outcome]) -> Addressed[Outcome]:
        """The program as it is."""
        return program

    def end(self, rankings: Sequence[Ranking]) -> None:
        """Nothing."""


@contextmanager
def no_spans() -> Iterator[NoSpans]:
    """What `Tracer.spans` is where nothing is traced."""
    yield NoSpans()
