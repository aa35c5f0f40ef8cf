"""Sending a question to the model that plays its role, through the client all rooms use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from limrank_plugins.backends.remote.calls import Calls
from limrank_plugins.backends.remote.faults import CallFailed, is_fault, status_of, timed_out
from limrank_plugins.backends.remote.markers import break_markers, marker_pattern
from limrank_plugins.backends.remote.replies import choice_of, parse, text_of, usage_of
from limrank_plugins.backends.remote.wire import openai_calls
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Prompt, Segment, clean_text
from limrank_synth.asking import Question, Reply
from limrank_synth.settings import Role, SynthSettings

_HOSTED = "https://api.openai.com/v1"
_NO_KEY = "no-key-is-needed"
_MARKERS = marker_pattern()
_THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers put what a reasoning model thinks: DeepSeek and vLLM, OpenRouter."""


class Endpoints:
    """One client for each address that the roles name.

    Args:
        settings: the roles, and the limits of their calls.
        environment: where keys are looked up; default: the process's.

    Raises:
        InputError: the key of a role that asks OpenAI itself is not set.
        MissingExtra: the openai SDK is not installed.
    """

    def __init__(self, settings: SynthSettings, environment: Mapping[str, str] | None = None) -> None:
        known = os.environ if environment is None else environment
        self._settings = settings
        self._calls: dict[tuple[str, str], Calls[Any]] = {}
        self._of: dict[str, Calls[Any]] = {}
        for name in ("writer", "reasoner", *settings.judges):
            role = settings.role(name)
            address = role.base_url or known.get("OPENAI_BASE_URL", _HOSTED)
            key = known.get(role.api_key_env) or None
            if key is None and address == _HOSTED:
                raise InputError(
                    f"no API key for role {name!r}: set {role.api_key_env}, or give it the base_url of a "
                    f"server of your own"
                )
            place = address, key if key is not None else _NO_KEY
            if place not in self._calls:
                self._calls[place] = openai_calls(
                    *place,
                    timeout=settings.timeout,
                    concurrency=settings.concurrency,
                    max_retries=settings.max_retries,
                )
            self._of[name] = self._calls[place]

    async def send(self, question: Question, note: Callable[[str], None]) -> Reply:
        """The model's reply.

        Args:
            question: what is asked.
            note: told about every attempt that went wrong: `"HTTP 429"`, `"timeout"`, `"connection"`, or
                `"answer"` for one that is no chat completion.

        Raises:
            CallFailed: there is none, after every retry.
        """
        role = self._settings.role(question.role)
        body = request_body(question, role, self._settings.seed)

        async def ask(client: Any) -> Reply:
            try:
                answer = await client.chat.completions.with_raw_response.create(**body)
            except Exception as error:
                kind = _kind(error)
                if kind is not None:
                    note(kind)
                raise
            try:
                return read_reply(parse(answer.text), role)
            except CallFailed as failure:
                note("answer")
                raise CallFailed(str(failure), 200) from None

        try:
            return await self._of[question.role].call(ask)
        except CallFailed as failure:
            if failure.late:  # noted here: whose clock ran out first is chance
                note("timeout")
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        for calls in self._calls.values():
            await calls.aclose()


def request_body(question: Question, role: Role, seed: int) -> dict[str, Any]:
    """What is sent, here and in batch files; a question that is asked again draws with another seed.

    Servers tokenise chats themselves: a marker such as `<|im_end|>` in a seed or a passage would end the
    message. No template of ours holds one, so every one that is found is broken by a space.
    """
    sampling = {
        "temperature": role.temperature,
        "top_p": role.top_p,
        "seed": (seed * 1_000_003 + question.attempt * 1009 + question.sample) % (1 << 31),
    }
    return {
        "model": role.model,
        "messages": [{"role": one.role, "content": without_markers(one.text)} for one in question.messages],
        role.budget: role.max_tokens,
        **{name: value for name, value in sampling.items() if name not in role.without},
        **role.body,
    }


def without_markers(text: str) -> str:
    """The text with every string broken that a model's tokenizer may take for a marker."""
    if _MARKERS.search(text) is None:
        return text
    return break_markers(Prompt((Segment(text, trusted=False),)), _MARKERS)[0]


def read_reply(body: dict[str, Any], role: Role) -> Reply:
    """A chat completion as a reply.

    Raises:
        CallFailed: it holds no choice, or no text.
    """
    choice = choice_of(body)
    message = choice.get("message")
    thought = ""
    if isinstance(message, dict):
        found = [message[name] for name in _THOUGHTS if isinstance(message.get(name), str)]
        thought = found[0] if found else ""
    usage = usage_of(body)
    return Reply(
        clean_text(text_of(choice)),
        clean_text(thought),
        str(choice.get("finish_reason") or "stop"),
        usage.prompt_tokens,
        usage.generated_tokens,
        role.cost(usage.prompt_tokens, usage.generated_tokens),
    )


def _kind(error: Exception) -> str | None:
    """What went wrong with an attempt, or None where `send` itself says it or the program is wrong."""
    if not is_fault(error) or timed_out(error):
        return None
    status = status_of(error)
    return f"HTTP {status}" if status is not None else "connection"
