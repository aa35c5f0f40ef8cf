"""What served models cost: one table, `prices.toml`, which a file of the user's and arguments overrule.

A price that nobody gives is not known, and neither is what such a call costs: it is never taken to be 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from limrank_plugins.checks import finite_number, options_of_file
from limrank_plugins.configuration import parse_toml
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines

VARIABLE = "LIMRANK_PRICES"
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_OWN = "prices.toml"
_Table = dict[str, dict[str, dict[str, Any]]]  # host, model, name of the price
_NAMES = {
    "token_price": "prompt",
    "cached_price": "cached",
    "completion_price": "completion",
    "search_price": "search",
}


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens, and for a search.

    Attributes:
        prompt: of a prompt.
        completion: written by the model, reasoning included.
        cached: of those of a prompt that the server had in its cache; None: as all others.
        search: for a search unit of a reranking service.
    """

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None
    search: float = 0.0

    def __post_init__(self) -> None:
        finite_number("the price of a million prompt tokens", self.prompt, least=0)
        finite_number("the price of a million written tokens", self.completion, least=0)
        if self.cached is not None:
            finite_number("the price of a million cached tokens", self.cached, least=0)
        finite_number("the price of a search", self.search, least=0)

    def cost(
        self, prompt_tokens: int, written_tokens: int, cached_tokens: int = 0, searches: float = 0.0
    ) -> float:
        """Dollars for that many tokens, `cached_tokens` of the prompt's from the cache, and searches."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = prompt_tokens - cached_tokens
        tokens = fresh * self.prompt + cached_tokens * cached + written_tokens * self.completion
        return tokens / 1e6 + searches * self.search

    def uncounted(self, usage: Usage) -> str:
        """What has a price but was not counted by the server: `tokens` or `search units`; else empty."""
        if self.search and not usage.searches:
            return "search units"
        if (self.prompt or self.cached) and not usage.prompt_tokens:  # no prompt has none
            return "tokens"
        return "tokens" if self.completion and not (usage.prompt_tokens or usage.generated_tokens) else ""


def paid(price: Price | None, usage: Usage, *, answered: bool = True) -> Usage:
    """The usage of one call with what it cost, where that is known.

    Args:
        price: None where it is not known.
        usage: as the server counted it.
        answered: an answer came; what brought none is not charged, as far as anybody knows.
    """
    if price is None or (answered and price.uncounted(usage)):
        return usage
    cost = price.cost(usage.prompt_tokens, usage.generated_tokens, usage.shared_tokens, usage.searches)
    return replace(usage, cost=cost, priced=1)


def price_of(address: str, model: str, **prices: float | None) -> Price | None:
    """The price of a model; None where it is not known.

    Args:
        address: of the server.
        model: as the server knows it.
        prices: `token_price` and the like, which come before every table; None for one that is not known.
            With `completion_price` among them, prompts and completions have a price both or neither.

    Raises:
        InputError: a price that is no number, a cached price without that of the other tokens, one of prompts
            without one of completions, or a user's file that cannot be read.
    """
    writes = "completion_price" in prices
    named = {name: price for name, price in prices.items() if price is not None}
    if named:
        return _price("", named, writes=writes)
    parts = urlsplit(address)
    user = os.environ.get(VARIABLE)
    for where, table in [*([(user, _read(user))] if user else []), (_OWN, _own())]:
        for host in (parts.netloc, parts.hostname or ""):
            models = table.get(host, {})
            for name in (model, _DATE.sub("", model)):
                if values := models.get(name):  # an empty table says nothing
                    return _price(f"{where}, {name}: ", values, writes=writes)
    return None


@cache
def _own() -> _Table:
    text = resources.files("limrank_plugins").joinpath(_OWN).read_text("utf-8")
    return _table(parse_toml(text, _OWN), _OWN)


def _read(path: str) -> _Table:
    text = "\n".join(line for _, line in read_lines(Path(path).expanduser()))
    return _table(parse_toml(text, path), path)


def _table(hosts: Mapping[str, Any], where: str) -> _Table:
    table: _Table = {}
    for host, models in hosts.items():
        for model, values in (models if isinstance(models, dict) else {host: None}).items():
            if not isinstance(values, dict):
                raise InputError(
                    f'{where}: {model!r} must be a table ["host"."model"] with prices, but is {values!r:.80}'
                )
            place = f"{where}, {model}"
            named = options_of_file(place, values, tuple(_NAMES))
            _price(f"{place}: ", named)  # whatever is wrong with a file is said, whichever model is asked
            table.setdefault(host, {})[model] = named
    return table


def _price(where: str, named: Mapping[str, Any], *, writes: bool = False) -> Price:
    if writes and ("token_price" in named) != ("completion_price" in named):
        raise InputError(f"{where}token_price and completion_price belong together: give both")
    if "cached_price" in named and "token_price" not in named:
        raise InputError(
            f"{where}cached_price needs token_price, the price of tokens that are not in the cache"
        )
    return Price(**{_NAMES[name]: finite_number(where + name, v, least=0) for name, v in named.items()})
