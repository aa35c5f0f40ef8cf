"""What finds passages, whatever it is: a retriever of ours, one with `search` alone, or a function.

A search is put to it as a request is put to a model, so that the one driver runs plain and async
searches alike from both sides.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

from limrank_plugins import driver
from limrank_plugins.backends.protocols import Reply, Request
from limrank_plugins.data import Document, Query, Usage, as_documents
from limrank_plugins.errors import InputError

Passages = Iterable[str | Document]
Search = Callable[[Query, int], Passages | Awaitable[Passages]]
"""A function from a query and a number to at most that many passages, best first; plain or async."""


@runtime_checkable
class Searches(Protocol):
    """What a pipeline needs of a `limrank_plugins.retrievers.Retriever`."""

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        """The best documents, best first."""


FirstStage = Searches | Search
"""What a pipeline takes as its retriever."""


@dataclass(frozen=True, slots=True)
class _SearchRequest:
    method: ClassVar[str] = "find"
    query: Query
    k: int


@dataclass(frozen=True, slots=True)
class _SearchReply:
    documents: tuple[Document, ...]
    usage: Usage = Usage()


class Searcher:
    """A first stage that the driver can ask. Nothing of it is stored.

    Args:
        first: a retriever, or a function.

    Raises:
        InputError: it is neither.
    """

    name = "retriever"
    stored = False

    def __init__(self, first: FirstStage) -> None:
        if not isinstance(first, Searches) and not callable(first):
            raise InputError(
                f"retriever must have a method search(query, k), or be a function of a query and k, but is "
                f"{type(first).__name__}"
            )
        self.first = first
        self.identity = type(first).__name__

    def searches(self, queries: Sequence[Query], k: int) -> driver.Addressed[list[list[Document]]]:
        """The program that searches for each query; its result has the passages of each."""
        return _searches(self, queries, k)

    def find(
        self, requests: Sequence[_SearchRequest]
    ) -> Sequence[_SearchReply] | Awaitable[Sequence[_SearchReply]]:
        """The passages of each; awaitable where the first stage is asynchronous."""
        many = getattr(self.first, "search_many", None)
        if many is not None:
            return [_reply(passages) for passages in many([r.query for r in requests], requests[0].k)]
        call: Any = getattr(self.first, "search", self.first)
        lists: list[Any] = [call(request.query, request.k) for request in requests]
        if any(inspect.isawaitable(passages) for passages in lists):
            return _all_of(lists)
        return [_reply(passages) for passages in lists]


async def _all_of(lists: Sequence[Any]) -> list[_SearchReply]:
    return [_reply(passages) for passages in await asyncio.gather(*lists)]


def _searches(
    searcher: Searcher, queries: Sequence[Query], k: int
) -> Generator[list[driver.To], list[Reply], list[list[Document]]]:
    if not queries:
        return []
    requests = [driver.To(searcher, cast(Request, _SearchRequest(query, k))) for query in queries]
    replies = cast(Sequence[_SearchReply], (yield requests))
    return [list(reply.documents)[:k] for reply in replies]


def _reply(passages: Passages) -> _SearchReply:
    return _SearchReply(tuple(as_documents(passages)))
