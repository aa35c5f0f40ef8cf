"""What a role's backend sends for a request, and what it reads in a response."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import Generated
from limrank_plugins.ledger import Ledger
from limrank_plugins.store import Store
from limrank_synth.role_requests import RoleRequest
from limrank_synth.roles import Roles, draw
from limrank_synth.settings import Role, SynthSettings


@contextmanager
def roles_of(settings: SynthSettings, **options: Any) -> Iterator[Roles]:
    """The roles of settings, with a ledger of their own."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "ledger.sqlite") as store:
        roles = Roles(settings, Ledger(store), **options)
        yield roles
        roles.close()


def body_of(request: RoleRequest, settings: SynthSettings) -> dict[str, Any]:
    """The JSON body that is sent for a request."""
    role = settings.role(request.role)
    return _served(role).request_body(draw(request, settings))


def read(request: RoleRequest, body: dict[str, Any]) -> Generated:
    """The reply in a response's body."""
    settings = SynthSettings({"writer": Role("m")})
    return _served(Role("m")).read_body(draw(request, settings), body)


def _served(role: Role) -> OpenAIBackend:
    return OpenAIBackend(
        role.model,
        base_url="http://localhost:1/v1",
        api_key="k",
        api="chat",
        server="generic",
        body=role.body,
        without=role.without,
        budget=role.budget,
    )
