"""Replies in a store: looked up before anything is asked, kept the moment they arrive."""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from limrank_plugins.backends.packing import pack_reply, unpack_reply
from limrank_plugins.backends.protocols import Backend, Failed, Forget, Reply, Request
from limrank_plugins.backends.request_keys import RequestKeys
from limrank_plugins.errors import LimRankWarning
from limrank_plugins.files import DAMAGE
from limrank_plugins.store import Store


@dataclass(frozen=True)
class To:
    """A request and the backend it is put to; `arrived` is called when a backend tells of its reply."""

    backend: Backend
    request: Request
    arrived: Callable[[], None] | None = field(default=None, compare=False, repr=False)

    @property
    def is_stored(self) -> bool:
        """Whether its reply belongs in a store: some backends answer faster than a store is read."""
        return bool(getattr(self.backend, "stored", True))

    @cached_property
    def key(self) -> bytes:
        """What its reply is stored under."""
        return self.key_among(RequestKeys(self.backend.identity))

    def key_among(self, keys: RequestKeys) -> bytes:
        """`key`, where those of other requests to its backend are made, too."""
        known = vars(self)
        if "key" not in known:
            known["key"] = keys(self.request.request if isinstance(self.request, Forget) else self.request)
        key: bytes = known["key"]
        return key


class ReplyStore:
    """The replies of a store, for one step of asking. Safe for threads.

    Args:
        store: where they are; None: nothing is found and nothing kept.
        must_keep: a reply that cannot be kept is a `NotKept`; default: a warning, and it stands.
    """

    def __init__(self, store: Store | None, *, must_keep: bool = False) -> None:
        self._store, self._must_keep = store, must_keep

    def find(self, requests: Sequence[To]) -> list[Reply | None]:
        """The stored reply to each request, or None. What is to be forgotten is, and that is its reply."""
        forgotten = [request for request in requests if isinstance(request.request, Forget)]
        if forgotten:
            if self._store is not None:
                self._store.drop_many([request.key for request in forgotten if request.is_stored])
            replies = iter(self.find([r for r in requests if not isinstance(r.request, Forget)]))
            return [Failed("") if isinstance(r.request, Forget) else next(replies) for r in requests]
        if self._store is None:
            return [None] * len(requests)
        keys = _keys(requests)
        packed = self._store.get_many([key for key in keys if key is not None])
        return [
            self._unpacked(request.request, packed[key]) if key is not None and key in packed else None
            for request, key in zip(requests, keys, strict=True)
        ]

    def _unpacked(self, request: Request, packed: bytes) -> Reply | None:
        """The reply, or None, so that it is asked for again, where a damaged page has changed its bytes."""
        try:
            return unpack_reply(request, packed)
        except (*DAMAGE, struct.error) as error:
            assert self._store is not None
            warnings.warn(
                f"a reply in {self._store.path} is damaged ({type(error).__name__}) and is asked for again",
                LimRankWarning,
                stacklevel=2,
            )
            return None

    def keeper(self, requests: Sequence[To]) -> Keeper:
        """What a backend tells of the replies to these requests as they arrive."""
        return Keeper(self, requests)

    def keep_rest(self, requests: Sequence[To], replies: Sequence[Reply], kept: Collection[int]) -> None:
        """Store, all or none of them, the replies that no backend told of while they arrived."""
        pairs = enumerate(zip(requests, replies, strict=True))
        self._write([self._row(*pair) for position, pair in pairs if position not in kept])

    def _row(self, request: To, reply: Reply) -> tuple[bytes, bytes] | None:
        """What is stored of a reply; a failure is never stored."""
        if self._store is None or not request.is_stored or isinstance(reply, Failed):
            return None
        return request.key, pack_reply(reply)

    def _write(self, rows: Sequence[tuple[bytes, bytes] | None]) -> None:
        if self._store is not None:
            put = self._store.keep_many if self._must_keep else self._store.put_many
            put([row for row in rows if row is not None])


def _keys(requests: Sequence[To]) -> list[bytes | None]:
    """What the replies to these requests are stored under; None for what no store keeps."""
    makers: dict[int, RequestKeys | None] = {}
    keys: list[bytes | None] = []
    for request in requests:
        backend = id(request.backend)
        if backend not in makers:
            makers[backend] = RequestKeys(request.backend.identity) if request.is_stored else None
        maker = makers[backend]
        keys.append(None if maker is None else request.key_among(maker))
    return keys


class Keeper:
    """Keeps the replies to one batch of requests: each the moment it arrives, or those of one pass at once.

    Safe for threads.

    Attributes:
        kept: positions of the replies that arrived.
    """

    def __init__(self, replies: ReplyStore, requests: Sequence[To]) -> None:
        self.kept: set[int] = set()
        self._replies, self._requests = replies, requests
        self._own = threading.local()

    def __call__(self, position: int, reply: Reply) -> None:
        """Keep the reply to the request at this position."""
        request = self._requests[position]
        if request.arrived is not None:
            request.arrived()
        row = self._replies._row(request, reply)
        waiting: list[tuple[bytes, bytes] | None] | None = getattr(self._own, "waiting", None)
        if waiting is None:
            self._replies._write([row])
        else:
            waiting.append(row)
        self.kept.add(position)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep what this thread tells of inside the block in one transaction, at its end."""
        waiting: list[tuple[bytes, bytes] | None] = []
        self._own.waiting = waiting
        try:
            yield
        finally:
            self._own.waiting = None
            self._replies._write(waiting)
