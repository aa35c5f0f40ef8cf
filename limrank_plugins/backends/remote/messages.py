"""A prompt as OpenAI-style messages: texts, and pictures as `image_url` parts, in reading order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.markers import chat_markers
from limrank_plugins.backends.remote.servers import UNTHINKING, Server
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment

Json = dict[str, Any]
Part = str | Image
_EMPTY_REASONING = re.compile(r"<think>\s*</think>\s*")


def messages(prompt: Prompt, safe: Callable[[Prompt], str], server: Server) -> Json:
    """The body's fields for the chat API. A raw prompt is one user message.

    Args:
        prompt: what is asked.
        safe: the text of some segments with the markers of untrusted ones broken.
        server: who is asked; it says whether an answer that the prompt has begun can be continued.

    Raises:
        CallFailed: a raw prompt that writes turns of its own, or an answer begun with an empty block of
            reasoning that this server cannot be made to begin; it is so for every prompt of the template.
    """
    if not prompt.is_chat and chat_markers("".join(s.text for s in prompt.segments if s.trusted)):
        raise CallFailed(
            "the template writes the chat's turns itself, which the chat API would put inside a turn: use a "
            "server with /completions (vLLM, SGLang, llama-server), or a template that is a chat (for recipe "
            "'qwen3-reranker', template='qwen3-reranker-chat')",
            fatal=True,
        )
    turns = [(role or "user", _parts(pieces, safe)) for role, pieces in prompt.messages()]
    body: Json = {}
    if len(turns) > 1 and turns[-1][0] == "assistant":
        if server.continues:
            body["extra_body"] = dict(server.continues)
        elif _EMPTY_REASONING.fullmatch("".join(part for part in turns[-1][1] if isinstance(part, str))):
            if not server.unthinking:
                raise CallFailed(
                    f"the answer must begin with an empty <think> block, which the chat API of a server of "
                    f"kind {server.name!r} cannot be told: use /completions of vLLM, SGLang or llama-server, "
                    f"or backend='transformers'; where its chat template knows enable_thinking, give "
                    f"body={UNTHINKING}",
                    fatal=True,
                )
            body["extra_body"] = dict(server.unthinking)
            del turns[-1]
        else:  # most servers cannot be made to continue an answer: they get its beginning as a request
            (role, parts), (_, beginning) = turns[-2:]
            turns[-2:] = [(role, [*parts, *beginning])]
    return body | {"messages": [{"role": role, "content": _content(parts)} for role, parts in turns]}


def _parts(pieces: Sequence[Segment], safe: Callable[[Prompt], str]) -> list[Part]:
    parts: list[Part] = []
    for _, run in groupby(pieces, key=lambda piece: piece.image is not None):
        segments = tuple(run)
        pictures = [segment.image for segment in segments if segment.image is not None]
        parts += pictures if pictures else [safe(Prompt(segments))]
    return parts


def _content(parts: Sequence[Part]) -> str | list[Json]:
    """A text where there is no picture, which every server takes; else a list of parts."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    texts = [part for part in merged if isinstance(part, str)]
    if len(texts) == len(merged):
        return "".join(texts)
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": part.url}}
        for part in merged
        if part != ""
    ]
