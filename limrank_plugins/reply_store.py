"""Replies in a store: looked up before anything is asked, kept the moment they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from limrank_plugins.backends.packing import pack_reply, request_key, unpack_reply
from limrank_plugins.backends.protocols import Arrived, Backend, Failed, Generated, Reply, Request
from limrank_plugins.store import Store


@dataclass(frozen=True)
class To:
    """A request and the backend it is put to."""

    backend: Backend
    request: Request

    @property
    def is_stored(self) -> bool:
        """Whether its reply belongs in a store: some backends answer faster than a store is read."""
        return bool(getattr(self.backend, "stored", True))

    @cached_property
    def key(self) -> bytes:
        """What its reply is stored under."""
        return request_key(self.backend.identity, self.request)


class ReplyStore:
    """The replies of a store, for one step of asking. Safe for threads.

    Args:
        store: where they are; None: nothing is found and nothing kept.
        keep_blank: keep completions with nothing in them, too: for programs that ask again by
            themselves, under another sample.
    """

    def __init__(self, store: Store | None, *, keep_blank: bool = False) -> None:
        self._store, self._keep_blank = store, keep_blank

    def find(self, requests: Sequence[To]) -> list[Reply | None]:
        """The stored reply to each request, or None."""
        if self._store is None:
            return [None] * len(requests)
        keys = [request.key if request.is_stored else None for request in requests]
        packed = self._store.get_many([key for key in keys if key is not None])
        return [
            unpack_reply(request.request, packed[key]) if key is not None and key in packed else None
            for request, key in zip(requests, keys, strict=True)
        ]

    def keep(self, request: To, reply: Reply) -> None:
        """Store a reply; a failure is never stored, nor is a completion with nothing in it."""
        if self._store is not None and request.is_stored and self._is_kept(reply):
            self._store.put_many([(request.key, pack_reply(reply))])

    def keeper(self, requests: Sequence[To]) -> tuple[Arrived, set[int]]:
        """A function that keeps the replies to these requests, and the positions it has kept so far."""
        kept: set[int] = set()

        def arrived(position: int, reply: Reply) -> None:
            self.keep(requests[position], reply)
            kept.add(position)

        return arrived, kept

    def keep_rest(self, requests: Sequence[To], replies: Sequence[Reply], kept: set[int]) -> None:
        """Store, all or none of them, the replies that no backend told of while they arrived."""
        if self._store is not None:
            self._store.put_many(
                [
                    (request.key, pack_reply(reply))
                    for position, (request, reply) in enumerate(zip(requests, replies, strict=True))
                    if position not in kept and request.is_stored and self._is_kept(reply)
                ]
            )

    def _is_kept(self, reply: Reply) -> bool:
        """Whether asking again could not give more."""
        if isinstance(reply, Generated) and reply.finish != "stop" and reply.reading is None:
            return self._keep_blank or bool(reply.text.strip() or reply.reasoning.strip())
        return not isinstance(reply, Failed)
