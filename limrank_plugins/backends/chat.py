"""A chat as a raw completion: the model's own chat template, put around the segments.

The template is run with a private mark in the place of every segment, so that nothing a user or a
collection wrote goes through it, and the segments stay apart: the template's own characters are
trusted, what stands between them keeps its own flags.

An image becomes the placeholder that the template writes for it, which is the template's, so trusted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from limrank_plugins.errors import BackendError
from limrank_plugins.segments import Prompt, Segment

# Private-use characters; letters, so that templates that trim a message trim nothing of it.
_MARK = re.compile("\ue002segment(\\d+)\ue003")

Content = str | list[dict[str, str]]
"""A message's content: a text, or text and image parts for models that can see."""


def as_completion(prompt: Prompt, tokenizer: Any, placeholder: str = "") -> Prompt:
    """The prompt as the model's chat template writes it, ready for the answer to be continued.

    A last message by the assistant is the beginning of its answer. A template without a system role
    gets the system's words at the start of the user's message.

    Args:
        prompt: the chat; a raw completion is given back as it is, but for its images.
        tokenizer: the tokenizer, or the processor of a model that can see.
        placeholder: what stands for an image in the processor's texts; empty for models that
            cannot see. Templates that put all images first (LLaVA's) are made to leave them where
            they are.

    Raises:
        BackendError: the tokenizer has no chat template, or it loses or repeats a message.
    """
    if not prompt.is_chat:
        return _raw(prompt, tokenizer, placeholder) if prompt.images else prompt
    if not has_chat_template(tokenizer):
        raise BackendError(
            f"{getattr(tokenizer, 'name_or_path', 'the model')!r} has no chat template, which this recipe "
            f"needs: use an instruction-tuned checkpoint"
        )
    marks = [f"\ue002segment{i}\ue003" if s.image is None else None for i, s in enumerate(prompt.segments)]
    wanted = [str(i) if s.image is None else placeholder for i, s in enumerate(prompt.segments)]
    text = _written(prompt, tokenizer, _parts(prompt, marks, None) if placeholder else _texts(prompt, marks))
    if prompt.images and _reading_order(text, placeholder) != wanted:
        image_text = image_wording(tokenizer, placeholder)
        text = _written(prompt, tokenizer, _parts(prompt, marks, image_text))
    order = _reading_order(text, placeholder if prompt.images else "")
    if order != wanted:
        raise BackendError(
            f"the chat template loses, repeats or reorders messages: {order} instead of {wanted}"
        )
    return Prompt(tuple(_segments(prompt, _MARK.split(text))))


def has_chat_template(tokenizer: Any) -> bool:
    """Whether a tokenizer, or a processor, knows how its model is asked in a chat."""
    return getattr(tokenizer, "chat_template", None) is not None


def image_wording(processor: Any, placeholder: str) -> str:
    """What the chat template writes for one image: the placeholder and what belongs to it.

    `<image>` and a line break in LLaVA; start and end marks around the placeholder in Qwen2-VL.
    """
    if not has_chat_template(processor):
        return placeholder
    mark = {"type": "text", "text": "\ue002segment0\ue003"}
    try:
        seen, plain = (
            _render(processor, [{"role": "user", "content": parts}]).partition(mark["text"])[0]
            for parts in ([{"type": "image"}, mark], [mark])
        )
    except Exception as error:  # templates raise what they like
        raise BackendError(f"the chat template cannot write an image: {error}") from error
    image_text = seen.removeprefix(plain)
    return image_text if seen.startswith(plain) and image_text.count(placeholder) == 1 else placeholder


def _raw(prompt: Prompt, processor: Any, placeholder: str) -> Prompt:
    image_text = image_wording(processor, placeholder)
    return Prompt(
        tuple(Segment(image_text, shared=s.shared) if s.image is not None else s for s in prompt.segments)
    )


def _texts(prompt: Prompt, marks: Sequence[str | None]) -> list[dict[str, Any]]:
    written = iter(marks)
    return [
        {"role": role, "content": "".join(next(written) or "" for _ in segments)}
        for role, segments in prompt.messages()
    ]


def _parts(prompt: Prompt, marks: Sequence[str | None], image_text: str | None) -> list[dict[str, Any]]:
    """Messages of parts; with a wording, images are that text rather than parts of their own."""
    written, messages = iter(marks), []
    for role, segments in prompt.messages():
        parts: list[dict[str, str]] = []
        for mark in (next(written) for _ in segments):
            text = mark if mark is not None else image_text
            if text is None:
                parts.append({"type": "image"})
            elif parts and parts[-1]["type"] == "text":  # templates may put a space between two texts
                parts[-1]["text"] += text
            else:
                parts.append({"type": "text", "text": text})
        messages.append({"role": role, "content": parts})
    return messages


def _written(prompt: Prompt, tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    begun = messages[-1]["role"] == "assistant"
    text = _applied(tokenizer, messages[:-1] if begun else messages)
    return text + _plain(messages[-1]["content"]) if begun else text


def _reading_order(text: str, placeholder: str) -> list[str]:
    """Segment numbers and placeholders as they come in a text that the template wrote."""
    pattern = f"{_MARK.pattern}|({re.escape(placeholder)})" if placeholder else _MARK.pattern
    return [match[1] if match[1] is not None else placeholder for match in re.finditer(pattern, text)]


def _segments(prompt: Prompt, pieces: Sequence[str]) -> list[Segment]:
    segments: list[Segment] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            if piece:
                # Shared as long as what follows it is.
                following = prompt.segments[int(pieces[position + 1])] if position + 1 < len(pieces) else None
                segments.append(Segment(piece, shared=following is not None and following.shared))
        else:
            segment = prompt.segments[int(piece)]
            segments.append(replace(segment, role=""))
    return segments


def _applied(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    try:
        return _render(tokenizer, messages)
    except Exception as error:  # templates raise what they like
        if messages[0]["role"] != "system" or len(messages) < 2:
            raise BackendError(f"the chat template cannot write this prompt: {error}") from error
    system, user, *rest = messages
    joined = {"role": user["role"], "content": _joined(system["content"], user["content"])}
    try:
        return _render(tokenizer, [joined, *rest])
    except Exception as error:
        raise BackendError(f"the chat template cannot write this prompt: {error}") from error


def _joined(system: Content, user: Content) -> Content:
    if isinstance(system, str) or isinstance(user, str):
        return f"{_plain(system)}\n\n{_plain(user)}"
    return [*system[:-1], {"type": "text", "text": f"{system[-1]['text']}\n\n"}, *user]


def _plain(content: Content) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _render(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return str(text)
