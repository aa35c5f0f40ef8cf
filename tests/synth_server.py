"""A scripted model that plays all roles of a synthesis on loopback, with faults mixed in.

    model = ScriptedModel(faults=0.2)
    with LoopbackServer(model) as server: ...

What it answers is a pure function of the request, so that runs can be compared; what goes wrong on the
wire does so for the first time a request is seen, and the second time it is answered. It counts all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import synth_texts
from servers import Answer, Call

from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.request_keys import request_key
from limrank_synth.role_requests import chat_prompt
from limrank_synth.settings import Role

ON_THE_WIRE = ("HTTP 429", "HTTP 500", "connection", "answer", "timeout")
IN_THE_TEXT = ("malformed", "refused", "empty", "cut")
_NEGATIVE = "That had been the custom elsewhere."
_BETWEEN = r"<{0}>(.*?)</{0}>"


class ScriptedModel:
    """A script for `LoopbackServer`.

    Attributes:
        answered: chat completions given, by the request's key.
        seen: requests, by key.
        faults: what went wrong on purpose, by kind.
        bodies: the requests themselves, by key.
        keys: the API keys that were presented, by model.

    Args:
        wire, text: shares of the requests that meet a fault on the wire, or get a text of no use.
        contrary: the share of verdicts that are the opposite of what the passage was written to be.
    """

    def __init__(self, *, wire: float = 0.0, text: float = 0.0, contrary: float = 0.05) -> None:
        self._wire, self._text, self._contrary = wire, text, contrary
        self._lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.bodies: dict[str, Any] = {}
        self.keys: dict[str, set[str]] = {}

    def __call__(self, call: Call) -> Any:
        key = key_of(call.body)
        luck = random.Random(f"luck {key}")
        on_the_wire, in_the_text = luck.random() < self._wire, luck.random() < self._text
        wire, text = luck.choices(ON_THE_WIRE, [6, 6, 6, 6, 1])[0], luck.choice(IN_THE_TEXT)
        with self._lock:
            first = not self.seen[key]
            self.seen[key] += 1
            self.bodies[key] = call.body
            secret = call.headers.get("authorization", "").removeprefix("Bearer ")
            self.keys.setdefault(call.body["model"], set()).add(secret)
            if on_the_wire and first:
                self.faults[wire] += 1
                return _fault(wire)
            if in_the_text:
                self.faults[text] += 1
            self.answered[key] += 1
        return completion(call.body, text if in_the_text else None, self._contrary)


def key_of(body: dict[str, Any]) -> str:
    """A request's identity: its bytes in canonical form."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def ledger_key(body: dict[str, Any], roles: dict[str, str]) -> str:
    """The key that the ledger must have for a request of a run with seed 0; `roles` by model."""
    prompt = chat_prompt(*((message["role"], message["content"]) for message in body["messages"]))
    sampling = {name: body[name] for name in ("max_tokens", "temperature", "top_p")}
    request = Generate(prompt, stop=(), seed=0, sample=body["seed"], **sampling)
    return request_key(f"synth|{roles[body['model']]}|{Role(body['model']).shaping}", request).hex()


def completion(body: dict[str, Any], fault: str | None = None, contrary: float = 0.05) -> dict[str, Any]:
    """The chat completion for a request."""
    rng = random.Random(f"answer {key_of(body)}")
    text, thought, finish = _written(body, rng, contrary), None, "stop"
    if fault == "malformed":
        # A passage or a thought has no form that could be wrong: it stays as it is.
        text = text.replace("{", "(").replace("</think>", "")
    elif fault == "refused":
        text = "I'm sorry, but I can't help with that request."
    elif fault == "empty":
        text = "  \n"
    elif fault == "cut":
        text, finish = text[: len(text) // 2], "length"
    elif "</think>" in text and rng.random() < 0.5:  # as servers that keep the thought apart
        thought, text = text.removeprefix("<think>").split("</think>")
    message = {"role": "assistant", "content": text}
    if thought is not None:
        message["reasoning_content"] = thought
    asked = sum(len(one["content"]) for one in body["messages"]) // 4
    usage = {"prompt_tokens": asked, "completion_tokens": min(len(text) // 4 + 1, body["max_tokens"])}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def _written(body: dict[str, Any], rng: random.Random, contrary: float) -> str:
    prompt = body["messages"][-1]["content"]
    if prompt.startswith("Determine if the following passage is relevant"):
        query, passage = prompt.split("\nQuery: ")[1].split("\nPassage: ")
        relevant = (_NEGATIVE not in passage) != (rng.random() < contrary)
        trace = synth_texts.trace(rng, _about(query), relevant)
        return f"<think>\n{trace}\n</think> {str(relevant).lower()}"
    if "<seed>" in prompt:
        query = synth_texts.query(rng, synth_texts.topic(rng))
        return json.dumps({"query": query}) if rng.random() < 0.5 else f'```json\n{{"query": "{query}"}}\n```'
    about = _about(_inside(prompt, "query"))
    if prompt.startswith("Write this passage"):
        text = synth_texts.passage(rng, about)
        return f"{text} {_NEGATIVE}" if "(negative:" in prompt else text
    if prompt.startswith("Query:") and "Plan one passage" in prompt:
        purposes = re.findall(r"^\d+\. (\S+):", prompt, re.MULTILINE)
        plan = [{"purpose": one, "description": synth_texts.prose(rng, about, 20)} for one in purposes]
        return json.dumps({"passages": plan})
    return synth_texts.prose(rng, about, 160)


def _inside(prompt: str, tag: str) -> str:
    found = re.search(_BETWEEN.format(tag), prompt, re.DOTALL)
    assert found is not None, prompt
    return found[1]


def _about(query: str) -> list[str]:
    topics = synth_texts.all_topics()
    return list(dict.fromkeys(word for word in re.findall(r"[a-z]+", query) if word in topics))


def _fault(kind: str) -> Answer | Awaitable[Answer]:
    if kind == "HTTP 429":
        return Answer({"error": {"message": "slow down"}}, status=429, headers={"retry-after": "0"})
    if kind == "HTTP 500":
        return Answer({"error": {"message": "oops"}}, status=500, headers={"retry-after": "0"})
    if kind == "connection":
        return Answer({}, reset=True)
    if kind == "answer":
        return Answer(b'{"choices": [{"mess')
    return _never()


async def _never() -> Answer:
    await asyncio.Event().wait()
    raise AssertionError
