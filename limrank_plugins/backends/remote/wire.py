"""The wire to an OpenAI-compatible server: what a prompt becomes, what a call holds, who is asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from limrank_plugins.backends.counting import counting, note
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.truncation import fit
from limrank_plugins.backends.protocols import Arrived, Failed, Reply
from limrank_plugins.backends.remote.calls import Calls
from limrank_plugins.backends.remote.client import post_through_sdk
from limrank_plugins.backends.remote.faults import CallFailed, names_no_model
from limrank_plugins.backends.remote.markers import break_markers, marker_pattern
from limrank_plugins.backends.remote.messages import messages
from limrank_plugins.backends.remote.notes import Notes
from limrank_plugins.backends.remote.refused_fields import RefusedFields
from limrank_plugins.backends.remote.replies import Label, choice_of, parse, text_of, usage_of
from limrank_plugins.backends.remote.servers import SERVERS, Server, recognise
from limrank_plugins.data import Usage
from limrank_plugins.errors import LimRankError
from limrank_plugins.prices import Price, paid
from limrank_plugins.segments import Prompt

Json = dict[str, Any]

_UNCOUNTED = Usage(priced=-1)
"""Noted of a call without counts, which the counts of a request's other calls must not hide."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A prompt as it goes out, and the labels as they will come back."""

    body: Json
    labels: tuple[Label, ...] = ()
    cut_tokens: int = 0
    seen: bool = False  # it holds pictures

    @property
    def is_chat(self) -> bool:
        """Whether it goes to the chat API."""
        return "messages" in self.body


class _Again(Exception):
    """The server turned out to be of another kind: prepare and ask again."""


class Wire:
    """One model on one server.

    Attributes:
        context: the model's context in tokens, or None where it is not known.
        broken_markers: marker strings broken in untrusted text so far.

    Args:
        calls: how calls are made.
        model: what the server calls the model.
        encoder: the model's tokenizer, or None.
        server: a name, or `"auto"`.
        api: `"completions"`, `"chat"` or `"auto"`.
        context: see above.
        top: log-probabilities asked for; None for as many as the server gives.
        who: how warnings call the backend.
        body: further fields of every request; they win over our own.
        without: fields of our own that are left out of every request.
        budget: what the server calls the number of tokens to write; None for the usual name.
        price: of its tokens; None where it is not known.
    """

    def __init__(
        self,
        calls: Calls[Any],
        model: str,
        encoder: PromptEncoder | None,
        *,
        server: str,
        api: str,
        context: int | None,
        top: int | None,
        who: str,
        body: Mapping[str, Any] | None = None,
        without: Collection[str] = (),
        budget: str | None = None,
        price: Price | None = None,
    ) -> None:
        self._price = price
        self._calls, self._model, self._encoder = calls, model, encoder
        markers = [encoder.decode([number]) for number in encoder.markers] if encoder is not None else None
        self._pattern = marker_pattern(markers, tags=True)
        self._server: Server | None = SERVERS[server] if server != "auto" else None
        self._api, self._top = api, top
        self._body, self._budget = dict(body or {}), budget
        self._no_completions = False
        self._samples: bool | None = None
        self._labels: dict[tuple[tuple[str, ...], str], tuple[Label, ...]] = {}
        self._notes = Notes(who)
        self._refused = RefusedFields(without, self._notes.say)
        self._lock = threading.Lock()
        self.context = context
        self.broken_markers = 0

    # ---- who is asked ---------------------------------------------------------------------------

    @property
    def server(self) -> Server:
        """What kind of server it is; generic until `find_out` ran."""
        return self._server if self._server is not None else SERVERS["generic"]

    @property
    def is_chat(self) -> bool:
        """Whether everything goes to the chat API, a raw prompt as one user message."""
        return self._api == "chat" or (self._api == "auto" and (self.server.chat or self._no_completions))

    async def find_out(self) -> None:
        """Ask the server once what it is, unless the caller said so.

        Raises:
            CallFailed: it cannot be reached, or refuses the key.
        """
        if self._server is not None:
            return

        async def ask(client: Any) -> object:
            return self._parsed(await client.models.with_raw_response.list())

        try:
            models: object = await self._calls.reach(ask)
        except CallFailed as failure:
            if failure.status is None or (failure.fatal and failure.status not in (404, 405)):
                raise
            models = None  # a server without a list of models can still answer
        server, context = recognise(models, self._model)
        self._server = server
        self.context = self.context if self.context is not None else context

    # ---- what is sent ---------------------------------------------------------------------------

    async def prepare(self, prompt: Prompt, labels: tuple[str, ...], room: int) -> Sent:
        """The prompt as it goes out, leaving room for so many tokens of answer.

        Tokenising takes its time: where there is a tokenizer, it is done in a worker thread.

        Raises:
            CallFailed: it cannot fit into the model's context.
        """
        if self._encoder is None:
            return self.prepared(prompt, labels, room)
        return await asyncio.to_thread(self.prepared, prompt, labels, room)

    def prepared(self, prompt: Prompt, labels: tuple[str, ...], room: int) -> Sent:
        """`prepare` for plain code."""
        server, encoder = self.server, self._encoder
        if prompt.images:
            if self._api == "completions":
                raise CallFailed(
                    "a document or the query has an image, which the completions API cannot carry: leave out "
                    "api='completions', so that it goes to the chat API"
                )
            return Sent(self._messages(prompt), tuple(map(Label, labels)), seen=True)
        if encoder is not None and server.takes_ids and not self.is_chat:
            try:
                encoded = encoder.encode(prompt)
                limit = self.context - room if self.context is not None else len(encoded.ids)
                ids, cut = fit(encoded, limit)
            except LimRankError as error:  # this document alone cannot be asked about
                raise CallFailed(str(error)) from None
            return Sent({"prompt": ids}, self._named(labels, encoded.end), cut)
        cut = 0
        if encoder is not None:
            prompt, cut = encoder.limited(prompt)
        if self.is_chat or prompt.is_chat:
            return Sent(self._messages(prompt), tuple(map(Label, labels)), cut)
        return Sent({"prompt": self._broken(prompt)}, self._named(labels, prompt.segments[-1].text), cut)

    def _messages(self, prompt: Prompt) -> Json:
        arguments = self._body.get("chat_template_kwargs")
        server = self.server
        if isinstance(arguments, Mapping) and arguments.get("enable_thinking") is False:
            # The caller knows that the server's chat template obeys it.
            server = replace(server, unthinking={"chat_template_kwargs": arguments})
        return messages(prompt, self._broken, server)

    def _broken(self, prompt: Prompt) -> str:
        text, broken = break_markers(prompt, self._pattern)
        if broken:
            with self._lock:
                self.broken_markers += broken
            note(Usage(neutralised=broken))
        return text

    def _named(self, labels: tuple[str, ...], after: str) -> tuple[Label, ...]:
        if self._encoder is None or not labels:
            return tuple(map(Label, labels))
        known = self._labels.get((labels, after))
        if known is None:
            known = tuple(map(Label, labels, self._encoder.label_ids(labels, after)))
            self._labels = {**dict(list(self._labels.items())[-64:]), (labels, after): known}
        return known

    # ---- one call -------------------------------------------------------------------------------

    async def ask(self, sent: Sent, budget: int, **options: Any) -> tuple[Json, Json]:
        """One call: the whole answer, and its first choice.

        Args:
            sent: the prompt.
            budget: tokens to write at most.
            options: further fields of the request.

        Raises:
            CallFailed: there is no answer, or none that makes sense.
        """
        while True:
            prompt, fields = self.body(sent, budget, **options)
            try:
                return await self._send(sent, prompt, fields)
            except CallFailed as failure:
                own = fields.keys() - self._body.keys() - sent.body.get("extra_body", {}).keys()
                if not self._refused.learn(failure, own):
                    raise

    async def _send(self, sent: Sent, prompt: Json, fields: Json) -> tuple[Json, Json]:
        async def ask(client: Any) -> Json:
            path = "/chat/completions" if sent.is_chat else "/completions"
            body = self._parsed(await post_through_sdk(client, path, prompt | fields))
            note(usage_of(body))  # it is charged, whether or not the rest of it makes sense
            choice = choice_of(body)  # a reply without a completion is a fault of the call
            if "message" in choice:
                text_of(choice)
            return body

        try:
            body = await self._calls.reach(ask)
            if self._price is not None and self._price.uncounted(usage_of(body)):
                note(_UNCOUNTED)
        except CallFailed as failure:
            if names_no_model(failure.complaint):
                raise
            if sent.seen and failure.status in (404, 405):  # a text can still be asked about
                raise CallFailed(
                    f"a prompt with images goes to the chat API, where there is none: {failure}"
                ) from failure
            if sent.is_chat or self._api != "auto" or failure.status not in (404, 405):
                raise
            # No such path, or "this is a chat model": if it is the model that is missing, chat says so.
            self._no_completions = True
        else:
            return body, choice_of(body)
        raise _Again

    @property
    def gives_logprobs(self) -> bool:
        """Whether log-probabilities may be asked for: the server has not refused the field so far."""
        return "logprobs" not in self._refused

    @property
    def takes_stops(self) -> bool:
        """Whether stop strings are sent."""
        return "stop" not in self._refused

    def body(self, sent: Sent, budget: int, **options: Any) -> tuple[Json, Json]:
        """A request's body in two parts: model and prompt, and every other field, as servers take them."""
        prompt = {name: value for name, value in sent.body.items() if name != "extra_body"}
        name = self._refused.budget(self._budget or self.server.budget)
        fields = {name: budget} | options | dict(self.server.extras)
        fields |= sent.body.get("extra_body", {})
        if options.get("temperature", 0) > 0:
            fields |= self.server.draws
        return {"model": self._model} | prompt, self._refused.removed_from(fields) | self._body

    async def samples(self) -> bool:
        """Whether the server draws at all. Some ignore the temperature; found out once, by two texts.

        From one that writes nothing it cannot be told: it may.
        """
        if self._samples is None:
            words = "Write twenty random words:"
            prompt: Json = (
                {"messages": [{"role": "user", "content": words}]} if self.is_chat else {"prompt": words}
            )
            texts = [
                text_of((await self.ask(Sent(prompt), 24, temperature=1.0, seed=seed))[1]) for seed in (1, 2)
            ]
            if not any(text.strip() for text in texts):
                return True
            self._samples = texts[0] != texts[1]
        return self._samples

    def _parsed(self, answer: Any) -> Json:
        return parse(self._calls.read_reply(answer))

    def reading(self, sent: Sent, *, insist: bool = False) -> Json:
        """The fields of a call that reads the labels from one token.

        Args:
            sent: the prompt.
            insist: make the server give the labels even where they are unlikely.
        """
        server = self.server
        top = self._top if self._top is not None else server.top
        if sent.is_chat:
            return {"temperature": 0.0, "logprobs": True, "top_logprobs": top}
        ids = [label.id for label in sent.labels if label.id is not None]
        fields: Json = {"temperature": 0.0, "logprobs": top, **(server.names_ids if ids else {})}
        if insist and server.insist == "ids":
            # Newer vLLM obeys the second of these, older the third; what they do not know they ignore.
            return fields | {"logprobs": len(ids), "logprob_token_ids": ids, "allowed_token_ids": ids}
        if insist:
            return fields | {"logit_bias": {str(number): 100 for number in ids}}
        return fields

    async def each(
        self, jobs: Sequence[Callable[[], Awaitable[Reply]]], arrived: Arrived | None = None
    ) -> list[Reply | CallFailed]:
        """Run jobs as `Calls.each` does; again those that found out that the server is another.

        Args:
            jobs: each gives a reply.
            arrived: told of each reply as it comes.
        """

        async def run(position: int) -> Reply:
            with counting() as spent:
                try:
                    try:
                        reply = await jobs[position]()
                    except _Again:
                        reply = await jobs[position]()
                except CallFailed as failure:
                    failure.usage = self._paid(spent.usage, answered=False)
                    raise
            # Of all calls: a prompt that was sent twice is counted once, and paid for twice.
            cost = self._paid(spent.usage, answered=not isinstance(reply, Failed))
            extra = Usage(
                uncertain=cost.uncertain, neutralised=cost.neutralised, cost=cost.cost, priced=cost.priced
            )
            reply = replace(reply, usage=reply.usage + extra)
            if arrived is not None:
                arrived(position, reply)
            return reply

        replies = await self._calls.each([partial(run, position) for position in range(len(jobs))])
        self._report()
        return replies

    def _paid(self, usage: Usage, *, answered: bool) -> Usage:
        if usage.priced < 0:
            return replace(usage, priced=0)
        return paid(self._price, usage, answered=answered)

    def say(self, what: str) -> None:
        """Remember something the user should know; `each` warns of it, once."""
        self._notes.say(what)

    def _report(self) -> None:
        if self.broken_markers:
            self.say(
                "the server tokenises by itself, so marker strings such as </think> in queries and documents "
                "were broken by a space (their number is in broken_markers)"
            )
        if self._no_completions:
            self.say("the server has no /completions for this model: prompts are sent as one user message")
        self._notes.warn()
