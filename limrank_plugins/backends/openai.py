"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, TGI, Ollama, hosted APIs.

Label probabilities are read from the log-probabilities the server returns for one token. Where it
gives too few, it is asked once more in a way that brings the labels up; where it gives none, that is
said once and the answer is drawn `draws` times instead; what still cannot be known is a failure,
never a number. `docs/served-models.md` has the table of servers.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from limrank_plugins.backends.local.loading import pretrained
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import (
    Arrived,
    Failed,
    Generate,
    Generated,
    LabelReading,
    ModelFacts,
    ReadLabels,
    Reply,
)
from limrank_plugins.backends.remote.addresses import check_body, check_key, parse_address
from limrank_plugins.backends.remote.client import openai_calls
from limrank_plugins.backends.remote.draws import draw_label
from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.replies import (
    Label,
    Token,
    choice_of,
    ending,
    is_likely,
    labels_in,
    reasoning_of,
    text_of,
    tokens_of,
    usage_of,
    within,
)
from limrank_plugins.backends.remote.servers import SERVERS
from limrank_plugins.backends.remote.wire import Wire
from limrank_plugins.checks import plain_text
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.prices import paid, price_of
from limrank_plugins.segments import Segment

_HOSTED = "https://api.openai.com/v1"


class OpenAIBackend:
    """Asks a server through the openai SDK (2.x or 3.x). Safe for threads and event loops.

    Args:
        model: the name the server knows the model by (for a LoRA adapter on vLLM, the adapter's).
        base_url: the server, for example `"http://localhost:8000/v1"`; default `OPENAI_BASE_URL`, then
            OpenAI's own. What follows a `?` is sent with every request and shown nowhere.
        api_key: default `OPENAI_API_KEY`; servers on your own machine need none.
        tokenizer: folder, hub name or GGUF file of the tokenizer. With it, token ids are sent to servers
            that take them, so that nothing in a passage can become a marker; labels are found by
            their ids; and documents are cut to fit. Without it, markers in passages are broken.
        server: `"auto"` asks the server what it is (one `GET /models`), or a name of
            `backends.servers.SERVERS`.
        api: `"completions"` sends the recipe's prompt as it is, `"chat"` as one user message;
            `"auto"` prefers the former where the server has it and it gives log-probabilities.
        revision: names the weights in the keys of stored answers; change it when you serve others.
        max_length: the model's context in tokens; default: what the server says.
        top_logprobs: log-probabilities asked for; default: as many as the server gives.
        tolerance: how far a score may be off where a label is less likely than every token the
            server returned and so is known by that bound only; default 0.001. 0 accepts no bound.
        draws: verdicts drawn where a server gives no log-probabilities, default 8. P(label) is then
            (times drawn + 1/2) / (answers that were labels + 1/2 · labels). 0: such documents fail.
        concurrency: calls in flight at a time, default 16.
        requests_per_minute: default None, no limit.
        max_retries: how often a call is repeated, see `backends.remote.calls`; default 5.
        timeout: seconds for one attempt; default 600.
        body: further fields of every request, such as `{"chat_template_kwargs": {"enable_thinking": True}}`
            or `{"top_k": 20}`; they win over this class's own.
        without: fields that are left out from the start, such as `("temperature",)`. One that the server
            refuses by name is left out from then on by itself, and a warning says so.
        budget: what the server calls the number of tokens to write, `"max_tokens"` or
            `"max_completion_tokens"`; default: what this kind of server usually does.
        token_price: dollars for a million tokens of prompts; default: the price table's (`prices.toml`).
        cached_price: the same, of those that the server had in its cache; default `token_price`.
        completion_price: dollars for a million tokens that it wrote.
        on_fault: told the kind of everything that goes wrong with a call, repaired or not:
            `"HTTP 429"`, `"timeout"`, `"connection"`, `"reply"` for one that cannot be read.
        sleep: for tests: how it waits between attempts.

    A prompt with images goes to the chat API whatever `api="auto"` would choose, as text and `image_url`
    parts in reading order; whether the model sees is for the server to say. Nothing of such a prompt is
    cut to fit.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: the openai SDK (or, for `tokenizer`, transformers) is not installed.
    """

    name = "openai"

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        server: str = "auto",
        api: str = "auto",
        revision: str = "",
        max_length: int | None = None,
        top_logprobs: int | None = None,
        tolerance: float = 1e-3,
        draws: int = 8,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        max_retries: int = 5,
        timeout: float = 600.0,
        body: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        budget: str | None = None,
        token_price: float | None = None,
        cached_price: float | None = None,
        completion_price: float | None = None,
        on_fault: Callable[[str], None] = lambda kind: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if api not in ("auto", "completions", "chat"):
            raise InputError(f"api must be 'auto', 'completions' or 'chat', but got {api!r}")
        if server != "auto" and server not in SERVERS:
            raise InputError(f"server must be 'auto' or one of {', '.join(SERVERS)}, but got {server!r}")
        for name, value, least in (("max_length", max_length, 2), ("top_logprobs", top_logprobs, 1)):
            if value is not None and value < least:
                raise InputError(f"{name} must be >= {least} or None, but got {value}")
        if draws < 0 or not 0 <= tolerance < 0.5:
            raise InputError(f"draws must be >= 0 and tolerance in [0, 0.5), but got {draws} and {tolerance}")
        if isinstance(without, str):
            raise InputError(f"without must be a list of names such as [{without!r}], but got a str")
        check_body(body)
        self.model = model
        address = parse_address(
            base_url if base_url is not None else os.environ.get("OPENAI_BASE_URL", _HOSTED)
        )
        key = (api_key if api_key is not None else os.environ.get("OPENAI_API_KEY")) or None
        self.price = price_of(
            address.base,
            model,
            token_price=token_price,
            cached_price=cached_price,
            completion_price=completion_price,
        )
        if key is None and address.base == _HOSTED:
            raise InputError(
                "no API key: set OPENAI_API_KEY, or give api_key, or the base_url of a server of your own"
            )
        if key is not None:
            check_key(key, "api_key" if api_key is not None else "OPENAI_API_KEY")
        where = [address.shown, model, revision, str(tokenizer or ""), server, api]
        settings = [f"{max_length or ''}", f"{top_logprobs or ''}", f"{tolerance:g}", f"{draws}"]
        if body or without:  # what was answered before these settings existed stays known
            settings.append(json.dumps([sorted(without), body], sort_keys=True, default=str))
        self.identity = "|".join(["openai", *where, *settings])
        self._who = f"model {model!r} at {address.shown}"
        self._encoder = _encoder(tokenizer) if tokenizer is not None else None
        # Every server has a chat API; who insists on the other one decides for models without a chat.
        chats = api != "completions" or (self._encoder is not None and self._encoder.chats)
        names = (model, *([] if tokenizer is None else [os.fspath(tokenizer)]))
        self.facts = ModelFacts(names, chats, has_files=False)
        self._tolerance, self._draws = tolerance, draws
        self._calls = openai_calls(
            address,
            key,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            max_retries=max_retries,
            timeout=timeout,
            on_fault=on_fault,
            sleep=sleep,
        )
        self._wire = Wire(
            self._calls,
            model,
            self._encoder,
            server=server,
            api=api,
            context=max_length,
            top=top_logprobs,
            who=self._who,
            body=body,
            without=without,
            budget=budget,
            price=self.price,
        )

    def __repr__(self) -> str:
        return f"OpenAIBackend({self.identity!r})"

    @property
    def broken_markers(self) -> int:
        """Marker strings of queries and documents that had to be broken so far."""
        return self._wire.broken_markers

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` if a label is not one token; without a tokenizer nothing is checked."""
        if self._encoder is not None:
            self._encoder.label_ids(labels, after)

    def close(self) -> None:
        """Close the connections. May be called twice; a later question opens new ones."""
        self._calls.close()

    # ---- what it can be asked -------------------------------------------------------------------

    async def read_labels(
        self, requests: Sequence[ReadLabels], arrived: Arrived | None = None
    ) -> list[Reply]:
        """Answer each with a `LabelReading` or `Failed`.

        Raises:
            BackendError: what went wrong concerns every request (wrong key, address or model).
        """
        return await self._answer([partial(self._read, request) for request in requests], arrived)

    async def generate(self, requests: Sequence[Generate], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each with a `Generated` or `Failed`.

        Labels behind a stop string are read by a second call for one token: a server with a prefix
        cache computes next to nothing for it, while log-probabilities for every token of a long
        thought, the other way to get them, cost far more.

        Raises:
            BackendError: as for `read_labels`.
        """
        return await self._answer([partial(self._write, request) for request in requests], arrived)

    def request_body(self, request: Generate) -> dict[str, Any]:
        """The JSON body that would be sent, for files of requests such as OpenAI's batches.

        The server's kind must be known: give `server` rather than leave it at `"auto"`.
        """
        sent = self._wire.prepared(request.prompt, (), self._room(request))
        prompt, fields = self._wire.body(sent, self._room(request), **_sampling(request))
        return prompt | fields

    def read_body(self, request: Generate, body: dict[str, Any]) -> Generated:
        """The reply that a JSON body holds, as it comes back for `request_body`.

        Raises:
            CallFailed: it holds no completion.
        """
        return _generated(request, body, choice_of(body))[0]

    async def _answer(
        self, jobs: Sequence[Callable[[], Awaitable[Reply]]], arrived: Arrived | None
    ) -> list[Reply]:
        try:
            await self._wire.find_out()
            replies = await self._wire.each(jobs, arrived)
        except CallFailed as failure:
            if not failure.fatal:  # the server could not even be asked what it is
                nothing = paid(self.price, Usage(), answered=False)
                return [Failed(str(failure), nothing) for _ in jobs]
            problem = BackendError(f"{self._who} cannot be used: {failure}")
        else:
            return [_failed(reply) if isinstance(reply, CallFailed) else reply for reply in replies]
        raise problem

    # ---- one request ----------------------------------------------------------------------------

    async def _read(self, request: ReadLabels) -> Reply:
        wire = self._wire
        sent = await wire.prepare(request.prompt, request.labels, 1)
        if not wire.gives_logprobs:
            return await draw_label(wire, sent, self._draws)
        body, choice = await wire.ask(sent, 1, **wire.reading(sent))
        usage, tokens = usage_of(body), tokens_of(choice)
        if not tokens:
            return await draw_label(wire, sent, self._draws, usage, text_of(choice))
        logprobs = labels_in(tokens, sent.labels, loosely=sent.is_chat)
        values = within(logprobs, tokens, self._tolerance)
        if values is None and all(label.id is not None for label in sent.labels):
            # Once more, insisting on the labels. What comes back is believed only if all are there.
            body, choice = await wire.ask(sent, 1, **wire.reading(sent, insist=True))
            usage = usage + usage_of(body)
            again = labels_in(tokens_of(choice), sent.labels, loosely=False)
            values = within(again, (), 0.0) if None not in again else None
        if values is None:
            return Failed(_missing(tokens, sent.labels), usage)
        return LabelReading(tuple(values), usage, sent.cut_tokens)

    def _room(self, request: Generate) -> int:
        context = self._wire.context
        return request.max_tokens if context is None else min(request.max_tokens, context // 2)

    async def _write(self, request: Generate) -> Reply:
        room = self._room(request)
        sent = await self._wire.prepare(request.prompt, (), room)
        body, choice = await self._wire.ask(sent, room, **_sampling(request))
        written, stop = _generated(request, body, choice, self._wire.takes_stops)
        if stop is None or not request.labels:
            return replace(written, cut_tokens=sent.cut_tokens)
        closed = request.prompt.then(Segment(written.text, trusted=False), Segment(stop))
        verdict = await self._read(ReadLabels(closed, request.labels))
        # The same prompt once more, all of it known to the server already.
        usage = written.usage + replace(verdict.usage, prompt_tokens=0, shared_tokens=0)
        if isinstance(verdict, Failed):
            return Failed(verdict.reason, usage)
        reading = replace(verdict, usage=Usage()) if isinstance(verdict, LabelReading) else None
        return replace(written, reading=reading, usage=usage, cut_tokens=sent.cut_tokens)


def _failed(failure: CallFailed) -> Failed:
    return Failed(str(failure), failure.usage, charged=failure.usage.uncertain > 0)


def _sampling(request: Generate) -> dict[str, Any]:
    fields: dict[str, Any] = {"temperature": request.temperature}
    if request.stop:
        fields["stop"] = list(request.stop)
    if request.temperature > 0:
        seed = (request.seed * 1_000_003 + request.sample) % (1 << 31)
        fields |= {"top_p": request.top_p, "seed": seed}
    return fields


def _generated(
    request: Generate, body: dict[str, Any], choice: dict[str, Any], stops_sent: bool = True
) -> tuple[Generated, str | None]:
    """The completion, and the stop string that ended it where that is known."""
    text, finish, stop = ending(choice, text_of(choice), request.stop, sent=stops_sent)
    return Generated(text, finish, usage=usage_of(body), reasoning=reasoning_of(choice)), stop


def _missing(tokens: Sequence[Token], labels: Sequence[Label]) -> str:
    names = ", ".join(repr(label.text) for label in labels)
    likely = [token for token in tokens if is_likely(token)]
    shown = ", ".join(repr(token.text[:40]) for token in likely[:5])
    return (
        f"the labels {names} are not among the {len(likely)} most likely tokens the server gives ({shown}, …)"
    )


def _encoder(tokenizer: str | os.PathLike[str]) -> PromptEncoder:
    name = plain_text("tokenizer", os.fspath(tokenizer) if isinstance(tokenizer, os.PathLike) else tokenizer)
    try:
        return PromptEncoder(pretrained("AutoTokenizer", name))
    except (OSError, ValueError) as error:
        raise InputError(f"no tokenizer can be loaded from {name!r}: {error}") from error
