"""The `/rerank` server: `limrank serve`, or `build_app` for an ASGI server of your own (extra `server`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from limrank_plugins.errors import require
from limrank_plugins.reranker import Reranker
from limrank_plugins.server.hosts import Hosts
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.served_corpus import ExampleQuery, ServedCorpus, sample_corpus

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = [
    "ExampleQuery", "Hosts", "Limits", "ServedCorpus", "build_app", "require_extra", "sample_corpus",
]  # fmt: skip


def build_app(
    rerankers: Mapping[str, Reranker],
    *,
    corpora: Mapping[str, ServedCorpus] | None = None,
    limits: Limits | None = None,
    tokens: Collection[str] = (),
    hosts: Hosts | None = None,
    page: bool = True,
) -> FastAPI:
    """The server as an ASGI app, its guards included.

    Args:
        rerankers: by the name that clients send as `model`; the first one is asked where they send none.
            They stay yours to close.
        corpora: what clients may search, by the name that they send as `corpus`, such as
            `{"samples": sample_corpus()}`; default: none.
        limits: how much is taken on; default: `Limits()`.
        tokens: one of them must be sent as `Authorization: Bearer …`; default: nobody is asked for one.
        hosts: the names of this server that a `Host` header may hold; default: those of this machine alone.
        page: whether there is a page at `/`, for people to look at what reranking does.

    Raises:
        InputError: no reranker, or a reranker or a corpus without a name.
        MissingExtra: the extra `server` is not installed.

    Example:
        >>> from limrank_plugins import Reranker
        >>> from limrank_plugins.server import build_app
        >>> app = build_app({"mini": Reranker("mini")})
    """
    require_extra()
    from limrank_plugins.server.app import RerankServer

    return RerankServer(
        rerankers,
        corpora=corpora or {},
        limits=limits if limits is not None else Limits(),
        tokens=tokens,
        hosts=hosts if hosts is not None else Hosts.of("127.0.0.1"),
        page=page,
    ).app


def require_extra() -> None:
    """Say in one sentence what is missing of the extra, if anything is.

    Raises:
        MissingExtra: a package of it is not installed.
    """
    for module in ("fastapi", "uvicorn", "prometheus_client", "pydantic"):
        require(module, "server", "the server")
