"""A chat as a raw completion: the model's own chat template, put around the segments.

The template is run with a private mark in the place of every segment, so that nothing a user or a
collection wrote goes through it, and the segments stay apart: the template's own characters are
trusted, what stands between them keeps its own flags.
"""

from __future__ import annotations

import re
from typing import Any

from limrank_plugins.errors import BackendError
from limrank_plugins.segments import Prompt, Segment

# Private-use characters; letters, so that templates that trim a message trim nothing of it.
_MARK = re.compile("\ue002segment(\\d+)\ue003")


def as_completion(prompt: Prompt, tokenizer: Any) -> Prompt:
    """The prompt as the model's chat template writes it, ready for the answer to be continued.

    A last message by the assistant is the beginning of its answer. A template without a system role
    gets the system's words at the start of the user's message.

    Raises:
        BackendError: the tokenizer has no chat template, or it loses or repeats a message.
    """
    if not prompt.is_chat:
        return prompt
    if getattr(tokenizer, "chat_template", None) is None:
        raise BackendError(
            f"{getattr(tokenizer, 'name_or_path', 'the model')!r} has no chat template, which this recipe "
            f"needs: use an instruction-tuned checkpoint"
        )
    messages: list[dict[str, str]] = []
    number = 0
    for role, segments in prompt.messages():
        marks = "".join(f"\ue002segment{number + i}\ue003" for i in range(len(segments)))
        number += len(segments)
        messages.append({"role": role, "content": marks})
    begun = messages[-1]["role"] == "assistant"
    head = messages[:-1] if begun else messages
    text = _applied(tokenizer, head)
    if begun:
        text += messages[-1]["content"]
    pieces = _MARK.split(text)
    order = [int(piece) for piece in pieces[1::2]]
    if order != list(range(number)):
        raise BackendError(
            f"the chat template loses, repeats or reorders messages: segments {order} of {number}"
        )
    segments_out: list[Segment] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            if piece:
                # Shared as long as what follows it is.
                following = prompt.segments[int(pieces[position + 1])] if position + 1 < len(pieces) else None
                segments_out.append(Segment(piece, shared=following is not None and following.shared))
        else:
            segment = prompt.segments[int(piece)]
            segments_out.append(Segment(segment.text, segment.trusted, segment.cuttable, segment.shared))
    return Prompt(tuple(segments_out))


def _applied(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    try:
        return _render(tokenizer, messages)
    except Exception as error:  # templates raise what they like
        if messages[0]["role"] != "system" or len(messages) < 2:
            raise BackendError(f"the chat template cannot write this prompt: {error}") from error
    system, user, *rest = messages
    joined = {"role": user["role"], "content": f"{system['content']}\n\n{user['content']}"}
    try:
        return _render(tokenizer, [joined, *rest])
    except Exception as error:
        raise BackendError(f"the chat template cannot write this prompt: {error}") from error


def _render(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return str(text)
