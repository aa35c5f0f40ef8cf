"""How a synthesis is run: who is asked for what at which price, and how much is made of a seed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from limrank_plugins.backends import OPTIONS_OF_FILES, backend_names
from limrank_plugins.checks import finite_number, options_of_file, whole_number
from limrank_plugins.configuration import checked, parse_toml
from limrank_plugins.errors import InputError
from limrank_plugins.pipes import read_text
from limrank_plugins.prices import Price, price_of
from limrank_synth.records import INDIRECT, KINDS, NEGATIVE, Kind

ROLES = ("writer", "reasoner", "judge", "second")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUDGETS = ("max_tokens", "max_completion_tokens")
_SAMPLING = ("temperature", "top_p", "seed")
# What a request holds anyway, or what would change what a reply is.
_OURS = frozenset(
    {"model", "messages", *_BUDGETS, *_SAMPLING, "n", "stream", "stop"}
    | {
        "best_of",
        "max_new_tokens",
        "n_predict",
        "num_predict",
        "min_tokens",
    }  # would write more than is paid for
)
_SERVED = "openai"
HOSTED = "https://api.openai.com/v1"
"""Where a served model is that has no address of its own."""
_HOW_FAST = frozenset(
    {"concurrency", "timeout", "max_retries", "requests_per_minute", "batch_size", "batch_tokens", "device"}
)
"""Options that change how soon a reply comes, and not what it says."""


@dataclass(frozen=True, slots=True)
class Role:
    """A model that plays a role: behind an OpenAI-compatible address, or in this process.

    Attributes:
        model: its name at the address; of a local model, its folder, hub name or GGUF file.
        backend: who runs it: `"openai"` (any OpenAI-compatible server), or a local one such as
            `"transformers"`, `"llama-cpp"` or `"vllm"`.
        base_url: the address, without login or query; None: `OPENAI_BASE_URL`, then OpenAI's own.
        api_key_env: the name of the environment variable that holds the key.
        price_in, price_out: dollars for a million prompt tokens, and for a million written ones; None where
            they are not known; commands then look into `limrank_plugins/prices.toml`. 0 for a model that
            nobody charges for.
        price_cached: dollars for a million prompt tokens that the server had in its cache; None: `price_in`.
        temperature, top_p, max_tokens: of its completions.
        budget: what the server calls `max_tokens`: newer models of OpenAI know only
            `max_completion_tokens`, and count reasoning into it.
        without: fields the server refuses and that are left out: `temperature`, `top_p`, `seed`.
        body: further fields of every request, such as `{"reasoning_effort": "high"}` or `{"top_k": 20}`.
        options: of the backend's constructor, such as `{"dtype": "bfloat16"}`.
    """

    model: str
    backend: str = _SERVED
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    price_in: float | None = None
    price_out: float | None = None
    price_cached: float | None = None
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 4096
    budget: str = "max_tokens"
    without: Sequence[str] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

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
        for name in ("price_in", "price_out", "price_cached", "temperature"):
            if getattr(self, name) is not None or name == "temperature":
                finite_number(f"{name} of model {self.model!r}", getattr(self, name), least=0)
        finite_number(f"top_p of model {self.model!r}", self.top_p, above=0, most=1)
        whole_number(f"max_tokens of model {self.model!r}", self.max_tokens, least=1)
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
        if self.backend not in backend_names():
            raise InputError(
                f"backend of model {self.model!r} must be one of {', '.join(backend_names())}, "
                f"but got {self.backend!r}"
            )
        served = [name for name in ("base_url", "without", "body") if getattr(self, name)]
        if served and not self.is_served:
            raise InputError(
                f"{', '.join(served)} of model {self.model!r}: only a served model has them, "
                f"but its backend is {self.backend!r}"
            )

    @property
    def is_served(self) -> bool:
        """Whether it is asked over HTTP."""
        return self.backend == _SERVED

    @property
    def shaping(self) -> str:
        """What a reply depends on beside its request: part of its key. Not the address, not the price."""
        options = {name: value for name, value in self.options.items() if name not in _HOW_FAST}
        fields = [self.backend, self.model, sorted(self.without), self.body, options]
        return json.dumps(fields, sort_keys=True, default=str)

    @property
    def price(self) -> Price:
        """What its tokens cost; nothing as far as that is not known (see `is_priced`)."""
        return Price(self.price_in or 0.0, self.price_out or 0.0, self.price_cached)

    @property
    def is_priced(self) -> bool:
        """Whether its price is known: both were given, or it runs in this process."""
        return not self.is_served or (self.price_in is not None and self.price_out is not None)


@dataclass(frozen=True, slots=True)
class SynthSettings:
    """Everything a run depends on, besides its seeds and personas.

    Attributes:
        roles: by name: `writer` (queries and passages), `reasoner`, `judge`, and perhaps a `second`
            judge. A role that is left out is played by the writer; `second` is left out then.
        seed: of everything drawn.
        kinds: which queries are made of each seed.
        direct, indirect, negative: passages of each sort per query.
        votes: verdicts per passage and judge.
        attempts: how often a completion that cannot be read is asked for again.
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
    kinds: tuple[Kind, ...] = KINDS
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
    filters: Mapping[str, Mapping[str, Any] | Literal[False]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.roles) - set(ROLES))
        if unknown or "writer" not in self.roles:
            problem = f"there is no role {unknown[0]!r}" if unknown else "the role 'writer' is missing"
            raise InputError(f"{problem}; there are: {', '.join(ROLES)}")
        if not self.kinds or set(self.kinds) - set(KINDS) or len(set(self.kinds)) < len(self.kinds):
            raise InputError(f"kinds must be some of {', '.join(KINDS)}, each once, but got {self.kinds}")
        whole_number("seed", self.seed, least=0, most=(1 << 63) - 1)
        limits = {"direct": 8, "indirect": len(INDIRECT), "negative": len(NEGATIVE)}
        for name, most in limits.items():
            whole_number(name, getattr(self, name), least=0, most=most)
        if self.direct + self.indirect + self.negative == 0:
            raise InputError("direct, indirect and negative are all 0: no passage would be written")
        for name in ("votes", "attempts", "concurrency"):
            whole_number(name, getattr(self, name), least=1)
        whole_number("max_retries", self.max_retries, least=0)
        if self.votes % 2 == 0:
            raise InputError(f"votes must be odd, or they could be even, but got {self.votes}")
        finite_number("timeout", self.timeout, above=0)
        if self.max_cost is not None:
            finite_number("max_cost", self.max_cost, above=0)

    def role(self, name: str) -> Role:
        """Who plays this role."""
        return self.roles.get(name, self.roles["writer"])

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The roles played by a model whose price is not known."""
        return tuple(name for name, role in self.roles.items() if not role.is_priced)

    def with_known_prices(self, environment: Mapping[str, str] | None = None) -> SynthSettings:
        """The settings with the prices of `limrank_plugins.prices` for served models that have none here.

        Args:
            environment: where the address of models without one is looked up; default: the process's.

        Raises:
            InputError: the file that `LIMRANK_PRICES` names cannot be read.
        """
        known = {name: _priced(role, environment) for name, role in self.roles.items()}
        return replace(self, roles=known)

    def check_prices(self) -> None:
        """See that a limit of dollars can be kept.

        Raises:
            InputError: there is one, and a model's price is not known.
        """
        if self.max_cost is not None and self.unpriced:
            named = ", ".join(f"{name} ({self.roles[name].model})" for name in self.unpriced)
            raise InputError(
                f"max_cost {self.max_cost:g} cannot be kept, since the price is not known of {named}: give "
                f"price_in and price_out in its [roles.…], or --price-in and --price-out: dollars for a "
                f"million tokens, 0 where nobody charges"
            )

    @property
    def passages(self) -> int:
        """How many are written for one query."""
        return self.direct + self.indirect + self.negative

    @property
    def judges(self) -> tuple[str, ...]:
        """The roles that judge."""
        return ("judge", "second") if "second" in self.roles else ("judge",)

    def as_json(self) -> dict[str, Any]:
        """For the report: no keys are in it, only the names of the variables that hold them."""
        return asdict(self) | {"roles": {name: asdict(role) for name, role in self.roles.items()}}


def _priced(role: Role, environment: Mapping[str, str] | None) -> Role:
    """The role with its model's price out of the tables, unless any price is given or none is there."""
    if not role.is_served or (role.price_in, role.price_out, role.price_cached) != (None, None, None):
        return role
    variables = os.environ if environment is None else environment
    address = role.base_url or variables.get("OPENAI_BASE_URL", HOSTED)
    price = price_of(address, role.model, token_price=None, completion_price=None)
    if price is None:
        return role
    return replace(role, price_in=price.prompt, price_out=price.completion, price_cached=price.cached)


def read_settings(path: str | os.PathLike[str], **changes: Any) -> SynthSettings:
    """The settings of a TOML file: the fields at the top, one table `[roles.NAME]` for each role.

    Args:
        path: the file.
        changes: fields that are set elsewhere (the command line) and win; None changes nothing.

    Raises:
        InputError: the file is not there or not TOML, a field is unknown or senseless, or a role has an
            option that no file may set (`trust_remote_code`): say that in Python, with `Role(options=…)`.
    """
    where = os.fspath(path)
    try:
        text = read_text(path)
    except InputError as error:
        raise InputError(f"{where}: the settings cannot be read: {error}") from error
    settings = checked(SynthSettings, {"roles": {}} | parse_toml(text, where), where)
    for name, role in settings.roles.items():
        options_of_file(f"{where}: roles.{name}.options", role.options, OPTIONS_OF_FILES)
    return replace(settings, **{key: value for key, value in changes.items() if value is not None})


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    plain = not ({"@", "?", "#"} & set(value)) and value.isprintable() and " " not in value
    return parts.scheme in ("http", "https") and bool(parts.netloc) and plain
