"""Servers of decisions: OpenAI's Decisions and System One, which answer typed questions with probabilities.

Every recipe that reads labels runs on them: a yes-no label is a predicate, a grade a score, the letter of one
of several passages a choice. Questions of one query go out alone, or many of them about one input.
`remote/deciders.py` has the table of servers, `docs/served-models.md` what to know about them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from limrank_plugins.backends.counting import counting
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.protocols import (
    Arrived,
    Failed,
    LabelReading,
    ModelFacts,
    ReadLabels,
    Reply,
)
from limrank_plugins.backends.remote.addresses import check_body
from limrank_plugins.backends.remote.client import http_calls, openai_calls, post_json, post_through_sdk
from limrank_plugins.backends.remote.deciders import DECIDERS, KEY, charged_in, find_decider
from limrank_plugins.backends.remote.faults import CallFailed, charged, may_be_of_one
from limrank_plugins.backends.remote.markers import unmarked
from limrank_plugins.backends.remote.notes import Notes
from limrank_plugins.backends.remote.questions import LabelQuestion, label_question, tokens_in, written
from limrank_plugins.backends.remote.replies import parse_json
from limrank_plugins.backends.remote.services import find_key, with_dialects
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.prices import paid, price_of

_UNASKED = Usage(priced=1)  # what no server was asked costs nothing, which is known


class DecisionsBackend:
    """Asks a server of decisions. Safe for threads and event loops.

    Args:
        model: the name the server knows the model by, such as `"gpt-6-luna"` or `"jev-latest"`.
        base_url: the server, up to what stands before `/decisions` or `/systemone`; default
            `DECISIONS_BASE_URL`, then the dialect's hosted service. What follows a `?` is sent with every
            request and shown nowhere.
        api_key: default: the provider's own variable (`OPENAI_API_KEY`, `TYPESAFE_API_KEY`), which is sent to
            that provider only, then `DECISIONS_API_KEY`.
        dialect: `"openai"` or `"systemone"`; `"auto"` knows the services by their address and any server by
            the path that an address ends with, and takes any other to speak System One.
        revision: names the weights in the keys of stored answers; change it when others are served.
        batch_size: questions of one query in one call at most. 1, the default: every question has an input of
            its own, so that a score depends on nothing else, and is stored. More: all their passages stand in
            one input, once each. That is cheaper, but the answers may depend on the passages that stand there
            together, so none is stored, and neither a threshold nor a calibration is taken.
        max_length: tokens of an input and one question at most, by which calls of several are split; default:
            what is known of the dialect.
        prompt_cache_key: sent with every request of the OpenAI dialect, for its cache of prompts.
        concurrency, requests_per_minute, max_retries, timeout, on_fault, sleep: as in `OpenAIBackend`.
        body: further fields of every request.
        token_price: dollars for a million tokens that were read, where the server does not say its price.
        cached_price: the same for those that it had in its cache; default `token_price`.

    A question that the model refuses, or whose probabilities make no sense, fails alone. A call that is
    refused for its size is halved until the question that is to blame stands alone.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: the openai SDK is not installed.
    """

    name = "decisions"
    shows_images = False

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dialect: str = "auto",
        revision: str = "",
        batch_size: int = 1,
        max_length: int | None = None,
        prompt_cache_key: str | None = None,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        max_retries: int = 5,
        timeout: float = 600.0,
        body: Mapping[str, Any] | None = None,
        token_price: float | None = None,
        cached_price: float | None = None,
        on_fault: Callable[[str], None] = lambda kind: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        whole_number("batch_size", batch_size, least=1)
        if max_length is not None:
            whole_number("max_length", max_length, least=2)
        self.model = model
        address, decider = find_decider(base_url, dialect)
        self._decider = decider
        key, key_name = find_key(api_key, decider, address, KEY)
        if prompt_cache_key is not None and not decider.through_sdk:
            raise InputError(f"prompt_cache_key is known to dialect 'openai' only, not to {decider.name!r}")
        check_body(body, decider.request("", {}, []))
        self._body = dict(body or {}) | ({"prompt_cache_key": prompt_cache_key} if prompt_cache_key else {})
        self._most = min(batch_size, decider.most or batch_size)
        self._alone = max_length if max_length is not None else decider.alone
        self.price = price_of(address.base, model, token_price=token_price, cached_price=cached_price)
        self.stored = self._most == 1
        self.leaning = ""
        if not self.stored:
            self.leaning = (
                f"batch_size={self._most} asks about many passages in one input, so that scores lean on "
                f"each other; use batch_size=1, which asks about each alone"
            )
        self.facts = ModelFacts((model,), chats=True, has_files=False)
        settings = [] if not body else [json.dumps(dict(body), sort_keys=True, default=str)]
        shared = [] if self.stored else [f"batch_size={self._most}"]
        parts = [self.name, address.shown, decider.name, model, revision, *settings, *shared]
        self.identity = "|".join(parts)
        self._url = f"{address.base.rstrip('/')}/{decider.path}"
        self._who = f"model {model!r} at {address.shown}"
        self._answered = False
        self._notes = Notes(self._who)
        limits: dict[str, Any] = {
            "concurrency": concurrency,
            "requests_per_minute": requests_per_minute,
            "max_retries": max_retries,
            "timeout": timeout,
            "key_name": key_name,
            "on_fault": on_fault,
            "sleep": sleep,
        }
        self._calls = (openai_calls if decider.through_sdk else http_calls)(address, key, **limits)

    def __repr__(self) -> str:
        return f"DecisionsBackend({self.identity!r})"

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` where two labels are the same but for blanks around them."""
        bare = [label.strip() for label in labels]
        if double := next((label for label in bare if not label or bare.count(label) > 1), None):
            raise InputError(f"the label {double!r} is one of two that are the same but for blanks")

    def close(self) -> None:
        """Close the connections. May be called twice; a later question opens new ones."""
        self._calls.close()

    # ---- what it can be asked -------------------------------------------------------------------

    async def read_labels(
        self, requests: Sequence[ReadLabels], arrived: Arrived | None = None
    ) -> list[Reply]:
        """Answer each with a `LabelReading` or `Failed`.

        Raises:
            BackendError: what went wrong concerns every request (wrong key, address, dialect or model).
        """
        replies = Replies(arrived)
        waiting: dict[int, LabelQuestion] = {}
        neutralised: dict[int, int] = {}

        async def ask(positions: Sequence[int]) -> None:
            answers = await self._answers([waiting[position] for position in positions])
            with replies.together():
                for position, reply in zip(positions, answers, strict=True):
                    broken = Usage(neutralised=neutralised[position])
                    replies[position] = replace(reply, usage=reply.usage + broken)

        try:
            for position, request in enumerate(requests):
                with counting() as noted:
                    prepared = self._prepared(request)
                neutralised[position] = noted.usage.neutralised
                if isinstance(prepared, LabelQuestion):
                    waiting[position] = prepared
                else:
                    replies[position] = prepared
            await self._calls.each([partial(ask, positions) for positions in self._together(waiting)])
        except CallFailed as failure:
            problem = BackendError(f"{self._who} cannot be used: {failure}")
        else:
            self._notes.warn()
            return replies.in_order()
        raise problem

    def _prepared(self, request: ReadLabels) -> LabelQuestion | LabelReading | Failed:
        if len(request.labels) == 1:
            return LabelReading((0.0,), _UNASKED)  # there is nothing to choose
        try:
            return label_question(request, unmarked)
        except CallFailed as failure:
            if failure.fatal:
                raise
            return Failed(str(failure), _UNASKED)

    def _together(self, waiting: Mapping[int, LabelQuestion]) -> list[list[int]]:
        """Which questions go out in one call: those of one query, as many as the server takes."""
        by_query: dict[tuple[str, ...], list[int]] = {}
        for position, question in waiting.items():
            by_query.setdefault(question.query, []).append(position)
        calls: list[list[int]] = []
        for positions in by_query.values():
            calls += self._split(positions, waiting)
        return calls

    def _split(self, positions: Sequence[int], waiting: Mapping[int, LabelQuestion]) -> list[list[int]]:
        calls: list[list[int]] = [[]]
        texts: set[str] = set()
        read = questions = longest = 0
        for position in positions:
            question = waiting[position]
            new = {place.text for place in question.places}
            added = sum(map(tokens_in, new - texts))
            longest = max(longest, question.tokens)
            is_full = len(calls[-1]) == self._most
            if self._alone is not None:
                is_full |= read + added + longest > self._alone
            if self._decider.together is not None:
                is_full |= read + added + questions + question.tokens > self._decider.together
            if calls[-1] and is_full:
                calls.append([])
                texts, read, questions, longest = set(), 0, 0, question.tokens
                added = sum(map(tokens_in, new))
            calls[-1].append(position)
            texts |= new
            read, questions = read + added, questions + question.tokens
        return calls

    # ---- one call -------------------------------------------------------------------------------

    async def _answers(self, group: Sequence[LabelQuestion]) -> list[LabelReading | Failed]:
        """Each question's reply; what the calls cost stands on the first."""
        with counting() as spent:
            try:
                readings, cost = await self._ask(group)
            except CallFailed as failure:
                if failure.fatal:
                    raise
                if len(group) > 1 and may_be_of_one(failure):
                    middle = len(group) // 2
                    return [*await self._answers(group[:middle]), *await self._answers(group[middle:])]
                readings = [str(failure)] * len(group)
                is_told = failure.usage != Usage()
                cost = self._priced(failure.usage) if is_told else paid(self.price, Usage(), answered=False)
        usage, uncertain = cost + spent.usage, spent.usage.uncertain > 0
        costs = [usage, *[Usage(priced=cost.priced)] * (len(group) - 1)]
        return [
            Failed(reading, share, uncertain) if isinstance(reading, str) else replace(reading, usage=share)
            for reading, share in zip(readings, costs, strict=True)
        ]

    async def _ask(self, group: Sequence[LabelQuestion]) -> tuple[list[LabelReading | str], Usage]:
        """What each question's labels got, or why they got nothing, and what was charged.

        Raises:
            CallFailed: there is no answer, or none that makes sense.
        """
        texts, questions = written(group)
        request = self._decider.request(self.model, texts, questions)

        async def ask(client: Any) -> tuple[list[LabelReading | str], Usage]:
            response = await self._posted(client, request)
            text = self._calls.read_reply(response)
            reply = parse_json(text, unique=True)
            usage = charged_in(reply)
            with charged(usage):
                return self._decider.readings(reply, questions), usage

        try:
            readings, usage = await self._calls.reach(ask)
        except CallFailed as failure:
            raise self._with_advice(failure) from None
        self._answered = True
        return readings, self._priced(usage)

    async def _posted(self, client: Any, request: dict[str, Any]) -> Any:
        if self._decider.through_sdk:
            return await post_through_sdk(client, f"/{self._decider.path}", request | self._body)
        return await post_json(client, self._url, request | self._body)

    def _priced(self, usage: Usage) -> Usage:
        if usage.priced:  # the server's own word is the better one
            return usage
        if self.price is not None and (what := self.price.uncounted(usage)):
            self._notes.say(f"the server does not say how many {what} it read: their cost is not known")
        return paid(self.price, usage)

    def _with_advice(self, failure: CallFailed) -> CallFailed:
        """The failure; of a server that never answered a question, with what it may not have understood."""
        if self._answered or failure.status not in (404, 405, 422):
            return failure
        return with_dialects(failure, self._url, self._decider.name, DECIDERS)
