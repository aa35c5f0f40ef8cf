"""How a synthesis is run: who is asked for what at which price, and how much is made of a seed."""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from limrank_plugins.errors import InputError
from limrank_synth.records import INDIRECT, KINDS, NEGATIVE

ROLES = ("writer", "reasoner", "judge", "second")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUDGETS = ("max_tokens", "max_completion_tokens")
_SAMPLING = ("temperature", "top_p", "seed")
# What a request holds anyway, or what would change what an answer is.
_OURS = frozenset({"model", "messages", *_BUDGETS, *_SAMPLING, "n", "stream", "stop"})


@dataclass(frozen=True, slots=True)
class Role:
    """A model behind an OpenAI-compatible address.

    Attributes:
        model: its name there.
        base_url: the address, without login or query; None: `OPENAI_BASE_URL`, then OpenAI's own.
        api_key_env: the name of the environment variable that holds the key.
        price_in, price_out: dollars for a million prompt tokens, and for a million written ones.
        temperature, top_p, max_tokens: of its answers.
        budget: what the server calls `max_tokens`: newer models of OpenAI know only
            `max_completion_tokens`, and count thinking into it.
        without: fields the server refuses and that are left out: `temperature`, `top_p`, `seed`.
        body: further fields of every request, such as `{"reasoning_effort": "high"}`.
    """

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    price_in: float = 0.0
    price_out: float = 0.0
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 4096
    budget: str = "max_tokens"
    without: Sequence[str] = ()
    body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise InputError(f"a role needs the name of a model, but got {self.model!r}")
        # What is wrong with these two is not shown: it may be a secret.
        if self.base_url is not None and not _is_address(self.base_url):
            raise InputError(
                f"base_url of model {self.model!r} must be an http(s) address without login, query or "
                f"fragment; keys go into the environment variable that api_key_env names"
            )
        if not isinstance(self.api_key_env, str) or not _VARIABLE.fullmatch(self.api_key_env):
            raise InputError(
                f"api_key_env of model {self.model!r} must be the name of an environment variable, "
                f"such as OPENAI_API_KEY, and never the key itself"
            )
        for name in ("price_in", "price_out", "temperature"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 1e9:
                raise InputError(f"{name} of model {self.model!r} must be a number >= 0, but is {value!r}")
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise InputError(f"top_p of model {self.model!r} must be in (0, 1], but is {self.top_p!r}")
        if isinstance(self.max_tokens, bool) or not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise InputError(f"max_tokens of model {self.model!r} must be > 0, but is {self.max_tokens!r}")
        if self.budget not in _BUDGETS:
            raise InputError(f"budget of model {self.model!r} must be {' or '.join(_BUDGETS)}")
        if not isinstance(self.without, list | tuple) or not set(self.without) <= set(_SAMPLING):
            raise InputError(
                f"without of model {self.model!r} must be a list of {', '.join(_SAMPLING)}, "
                f"but is {self.without!r}"
            )
        if not isinstance(self.body, Mapping) or _OURS & set(self.body):
            raise InputError(
                f"body of model {self.model!r} must be a table of further fields, none of "
                f"{', '.join(sorted(_OURS))}, which have settings of their own, but is {self.body!r}"
            )

    @property
    def shaping(self) -> str:
        """What an answer depends on beside the question: part of the ledger's keys. Not the address."""
        shaping: list[Any] = [self.model, self.temperature, self.top_p, self.max_tokens]
        if self.without or self.body:  # what was answered before these settings existed stays known
            shaping += [sorted(self.without), self.body]
        return json.dumps(shaping, sort_keys=True, default=str)

    def cost(self, prompt_tokens: int, written_tokens: int) -> float:
        """Dollars for that many tokens."""
        return (prompt_tokens * self.price_in + written_tokens * self.price_out) / 1e6


@dataclass(frozen=True, slots=True)
class SynthSettings:
    """Everything a run depends on, besides its seeds and personas.

    Attributes:
        roles: by name: `writer` (queries and passages), `reasoner`, `judge`, and perhaps a `second`
            judge. A role that is not given is played by the writer; `second` is left out then.
        seed: of everything drawn.
        kinds: which queries are made of each seed.
        direct, indirect, negative: passages of each sort per query.
        votes: verdicts per passage and judge.
        attempts: how often an answer that cannot be read is asked for again.
        concurrency: calls in flight; after a kill at most as many are sent again.
        max_retries: how often a call is repeated when the server fails.
        timeout: seconds for one call.
        max_cost: dollars the whole run may cost, earlier parts included; None for no limit.
        guidelines: a file that replaces the shipped ones; see `load_guidelines`.
        filters: limits of the filters by their name, as in `{"hardness": {"depth": 50}}`; `False`
            instead of limits leaves a filter out. See `filters.usual`.
    """

    roles: Mapping[str, Role]
    seed: int = 0
    kinds: tuple[str, ...] = KINDS
    direct: int = 1
    indirect: int = 1
    negative: int = 2
    votes: int = 1
    attempts: int = 3
    concurrency: int = 16
    max_retries: int = 5
    timeout: float = 600.0
    max_cost: float | None = None
    guidelines: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.roles) - set(ROLES))
        if unknown or "writer" not in self.roles:
            problem = f"there is no role {unknown[0]!r}" if unknown else "the role 'writer' is missing"
            raise InputError(f"{problem}; there are: {', '.join(ROLES)}")
        if (
            not isinstance(self.kinds, tuple)
            or not self.kinds
            or set(self.kinds) - set(KINDS)
            or len(set(self.kinds)) < len(self.kinds)
        ):
            raise InputError(f"kinds must be some of {', '.join(KINDS)}, each once, but got {self.kinds}")
        _whole("seed", self.seed, 0, (1 << 63) - 1)
        limits = {"direct": 8, "indirect": len(INDIRECT), "negative": len(NEGATIVE)}
        for name, most in limits.items():
            _whole(name, getattr(self, name), 0, most)
        if self.direct + self.indirect + self.negative == 0:
            raise InputError("direct, indirect and negative are all 0: no passage would be written")
        for name in ("votes", "attempts", "concurrency"):
            _whole(name, getattr(self, name), 1, 1_000_000)
        _whole("max_retries", self.max_retries, 0, 1000)
        if self.votes % 2 == 0:
            raise InputError(f"votes must be odd, or they could be even, but got {self.votes}")
        if not _is_number(self.timeout) or not 0 < self.timeout < math.inf:
            raise InputError(f"timeout must be > 0 seconds, but got {self.timeout!r}")
        if self.max_cost is not None and (not _is_number(self.max_cost) or not self.max_cost > 0):
            raise InputError(f"max_cost must be > 0 dollars, but got {self.max_cost!r}")
        if self.guidelines is not None and not isinstance(self.guidelines, str):
            raise InputError(f"guidelines must be the name of a file, but got {self.guidelines!r}")
        if not isinstance(self.filters, Mapping):
            raise InputError(f"filters must be a table of filters, but got {self.filters!r}")

    def role(self, name: str) -> Role:
        """Who plays this role."""
        return self.roles.get(name, self.roles["writer"])

    @property
    def judges(self) -> tuple[str, ...]:
        """The roles that judge."""
        return ("judge", "second") if "second" in self.roles else ("judge",)

    def as_json(self) -> dict[str, Any]:
        """For the report: no keys are in it, only the names of the variables that hold them."""
        return asdict(self) | {"roles": {name: asdict(role) for name, role in self.roles.items()}}


def read_settings(path: str | os.PathLike[str], **changes: Any) -> SynthSettings:
    """The settings of a TOML file: the fields at the top, one table `[roles.NAME]` for each role.

    Args:
        path: the file.
        changes: fields that are given elsewhere (the command line) and win; None is not given.

    Raises:
        InputError: the file is not there or not TOML, or a field is unknown or senseless.
    """
    try:
        given = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{os.fspath(path)}: the settings cannot be read: {error}") from error
    known = {f.name for f in fields(SynthSettings)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(f"{os.fspath(path)}: there is no setting {unknown[0]!r}; there are: {sorted(known)}")
    roles = given.pop("roles", {})
    if not isinstance(roles, dict) or not all(isinstance(role, dict) for role in roles.values()):
        raise InputError(f"{os.fspath(path)}: roles are tables, as in [roles.writer]")
    made = {name: _role(os.fspath(path), name, role) for name, role in roles.items()}
    if isinstance(given.get("kinds"), list):
        given["kinds"] = tuple(map(str, given["kinds"]))
    settings = SynthSettings(roles=made, **given)
    return replace(settings, **{key: value for key, value in changes.items() if value is not None})


def _role(path: str, name: str, given: dict[str, Any]) -> Role:
    known = {f.name for f in fields(Role)}
    unknown = sorted(set(given) - known)
    if unknown or "model" not in given:
        problem = f"has no setting {unknown[0]!r}" if unknown else "needs a model"
        raise InputError(f"{path}: role {name!r} {problem}; there are: {', '.join(sorted(known))}")
    return Role(**given)


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{name} must be a whole number from {least} to {most}, but got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    plain = not ({"@", "?", "#"} & set(value)) and value.isprintable() and " " not in value
    return parts.scheme in ("http", "https") and bool(parts.netloc) and plain
