"""What the OpenAI-compatible servers take and give, as far as they differ.

Read from their sources and documentation in November 2026; `docs/served-models.md` says what was
exercised. A server is recognised by what it calls itself in `GET /models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of server.

    Attributes:
        name: what `OpenAIBackend(server=…)` calls it.
        owners: what it writes as `owned_by` in its list of models.
        takes_ids: a completion's prompt may be token ids.
        chat: it must be asked through `/chat/completions`.
        top: log-probabilities asked for per position.
        extras: fields sent with every request, for what its defaults would spoil.
        names_ids: fields that make it name the tokens of its log-probabilities by their ids.
        continues: fields that make the chat API continue an answer that the prompt has begun.
        unthinking: fields that make its chat template open the answer with an empty block of reasoning.
        draws: fields without which it does not sample, whatever the temperature.
        budget: what the chat API calls the number of tokens to write.
        insist: how it is made to give label log-probabilities outside the top: "ids" (vLLM's
            `logprob_token_ids` and `allowed_token_ids`) or "bias" (`logit_bias`, alike for all labels).
    """

    name: str
    owners: frozenset[str] = frozenset()
    takes_ids: bool = False
    chat: bool = False
    top: int = 20
    extras: Mapping[str, Any] = field(default_factory=dict)
    names_ids: Mapping[str, Any] = field(default_factory=dict)
    continues: Mapping[str, Any] = field(default_factory=dict)
    unthinking: Mapping[str, Any] = field(default_factory=dict)
    draws: Mapping[str, Any] = field(default_factory=dict)
    budget: str = "max_tokens"
    insist: str = "bias"


# Markers such as </think> must be in the text, or a stop string is never seen.
_SHOW_MARKERS = {"skip_special_tokens": False, "spaces_between_special_tokens": False}

UNTHINKING = {"chat_template_kwargs": {"enable_thinking": False}}
"""What Qwen3's own chat template opens the answer with an empty block of reasoning for."""

_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}

SERVERS = {
    server.name: server
    for server in (
        Server("generic"),
        Server(
            "vllm",
            frozenset({"vllm"}),
            takes_ids=True,
            extras=_SHOW_MARKERS,
            names_ids={"return_tokens_as_token_ids": True},
            continues=_CONTINUE,
            insist="ids",
        ),
        Server("sglang", frozenset({"sglang"}), takes_ids=True, extras=_SHOW_MARKERS, unthinking=UNTHINKING),
        Server("llama.cpp", frozenset({"llamacpp"}), takes_ids=True, top=100, unthinking=UNTHINKING),
        Server("llama-cpp-python", frozenset({"me"}), top=100),
        Server("ollama", frozenset({"library"}), chat=True),
        # It cannot be recognised: it names the authors of the models in its cache.
        Server("transformers", draws={"generation_config": '{"do_sample": true}'}),
        Server("tgi", chat=True, top=5),
        Server(
            "openai",
            frozenset({"openai", "openai-internal", "system"}),
            chat=True,
            budget="max_completion_tokens",
        ),
    )
}


_LONGEST = 1 << 40  # tokens; more is no length


def recognise(models: object, model: str) -> tuple[Server, int | None]:
    """The server behind a reply of `GET /models`, and the model's context in tokens where it says so."""
    entries = models.get("data") if isinstance(models, dict) else None
    if not isinstance(entries, list):
        return SERVERS["generic"], None
    entries = [entry for entry in entries if isinstance(entry, dict)]
    named = [entry for entry in entries if entry.get("id") == model] or entries
    if not named:
        return SERVERS["generic"], None
    owner, context = named[0].get("owned_by"), named[0].get("max_model_len")
    kinds = [server for server in SERVERS.values() if isinstance(owner, str) and owner in server.owners]
    known = isinstance(context, int) and not isinstance(context, bool) and 1 < context < _LONGEST
    return kinds[0] if kinds else SERVERS["generic"], context if known else None
