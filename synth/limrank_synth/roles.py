"""Who plays each role: a backend with its price, held by one budget, and the requests put to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from limrank_plugins.arguments import named_backend
from limrank_plugins.backends.metered import Metered, Purse, Slots, most_tokens
from limrank_plugins.backends.protocols import Backend, Closes, Generate
from limrank_plugins.errors import InputError
from limrank_plugins.ledger import Ledger
from limrank_plugins.reply_store import To
from limrank_synth.role_requests import RoleRequest
from limrank_synth.settings import HOSTED, Role, SynthSettings

_NO_KEY = "no-key-is-needed"
_ATTEMPT = 1009
"""Draws between two attempts: sample 2 of attempt 1 is draw 1011."""


class Roles:
    """The backends of a run. Models in this process are loaded when they are made here; close them.

    Args:
        settings: the roles, and the limits of their calls.
        ledger: where calls are written down.
        backends: by role, backends that are there already; the others are made as the settings say.
        offline: nobody will be asked: no key is needed, and no model is loaded.
        environment: where keys are looked up; default: the process's.

    Raises:
        InputError: the key of a role that asks OpenAI itself is not set, a backend's option is wrong, or
            there is a limit of dollars and the price of a model is not known.
        MissingExtra: what a backend needs is not installed.
    """

    def __init__(
        self,
        settings: SynthSettings,
        ledger: Ledger,
        backends: Mapping[str, Backend] | None = None,
        *,
        offline: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._ledger, self._offline = settings, ledger, offline
        self._environment = os.environ if environment is None else environment
        self._loaded: dict[str, Backend] = {}
        self._of: dict[str, Metered] = {}
        ready_backends = backends or {}
        settings.check_prices()
        purse = Purse(settings.max_cost, cost=ledger.spent)
        slots = Slots(settings.concurrency)
        for name in ("writer", "reasoner", *settings.judges):
            role = settings.role(name)
            # A role that the settings leave out is played by the writer.
            ready = ready_backends.get(name, None if name in settings.roles else ready_backends.get("writer"))
            self._of[name] = Metered(
                ready if ready is not None else self._backend(name, role),
                role.price,
                purse,
                ledger,
                role=name,
                model=role.model,
                concurrency=slots,
                # Neither the address nor the price: a run goes on elsewhere with what it has.
                identity=f"synth|{name}|{role.shaping}",
            )

    def addressed(self, request: RoleRequest) -> To:
        """The request as it is put to the role's backend."""
        return To(self._of[request.role], draw(request, self._settings))

    def backend(self, role: str) -> Metered:
        """Who plays a role."""
        return self._of[role]

    def close(self) -> None:
        """Release connections, and the models that were loaded here."""
        for backend in self._loaded.values():
            if isinstance(backend, Closes):
                backend.close()

    def _backend(self, name: str, role: Role) -> Backend:
        if role.is_served:
            address, key = self._address(name, role)
            settings = self._settings
            options: dict[str, Any] = {
                "base_url": address,
                "api_key": key,
                # As a chat to whatever is there: a server is not asked first what it is.
                "api": "chat",
                "server": "generic",
                "concurrency": settings.concurrency,
                "max_retries": settings.max_retries,
                "timeout": settings.timeout,
                "body": dict(role.body),
                "without": tuple(role.without),
                "budget": role.budget,
                "on_fault": self._note_fault,
            } | dict(role.options)
            known = f"{name} {role.shaping}"  # connections are made when they are needed
        else:
            options, known = dict(role.options), role.shaping  # two roles share one loaded model
        if known not in self._loaded:
            self._loaded[known] = (
                _Absent(role.model)
                if self._offline and not role.is_served
                else named_backend(role.backend, role.model, options)
            )
        return self._loaded[known]

    def _address(self, name: str, role: Role) -> tuple[str, str]:
        address = role.base_url or self._environment.get("OPENAI_BASE_URL", HOSTED)
        key = self._environment.get(role.api_key_env) or None
        if key is None and address == HOSTED and not self._offline:
            raise InputError(
                f"no API key for role {name!r}: set {role.api_key_env}, or give it the base_url of a "
                f"server of your own"
            )
        return address, key if key is not None else _NO_KEY

    def _note_fault(self, kind: str) -> None:
        self._ledger.note_fault("answer" if kind == "reply" else kind)  # as reports have always called it


class _Absent:
    """Stands for a local model that nobody will ask."""

    name = "absent"

    def __init__(self, model: str) -> None:
        self.identity = json.dumps(["absent", model])

    def generate(self, requests: list[Generate]) -> list[Any]:
        raise InputError("this run asks nobody")


def draw(request: RoleRequest, settings: SynthSettings) -> Generate:
    """The request in the role's sampling; one that is asked again draws anew."""
    role = settings.role(request.role)
    return Generate(
        request.prompt,
        stop=(),
        max_tokens=role.max_tokens,
        temperature=role.temperature,
        top_p=role.top_p,
        seed=settings.seed,
        sample=request.attempt * _ATTEMPT + request.sample,
    )


def attempt_and_sample(draws: int) -> tuple[int, int]:
    """Back from a draw's number."""
    return divmod(draws, _ATTEMPT)


def most_cost(request: RoleRequest, settings: SynthSettings) -> float:
    """Dollars that a request can cost at most."""
    return settings.role(request.role).price.cost(*most_tokens(draw(request, settings)))
