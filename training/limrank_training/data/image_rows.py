"""A question, an image with its caption, and whether the image answers: RagVL's rows.

Read are queries with their candidates, and what `limrank synth export --format ragvl` writes of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.prompts import Template
from limrank_plugins.segments import clean_text
from limrank_training.data.row_fields import (
    check_columns,
    existing_images,
    filled_text,
    list_field,
    read_rows,
    text_field,
    truth_field,
)

PLACE = "<image>"
_QUERY = {"query_id", "query", "candidates", "sources", "meta"}
_CANDIDATE = {"id", "image", "relevant", "caption", "reason"}
_CHAT = {"id", "messages", "images", "meta"}


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A judged image.

    Attributes:
        query, caption: as the model will read them; the caption may be empty.
        file: the image.
        relevant: whether it answers.
        where: file and line.
    """

    query: str
    caption: str
    file: Path
    relevant: bool
    where: str


def read_image_rows(path: str | os.PathLike[str], template: Template) -> Iterator[ImageRow]:
    """The rows of a JSONL file.

    A line is `query` with `candidates`, each `image` (a file in the JSONL's folder or below), `relevant` and
    perhaps `caption`; or a chat, `messages` and one file in `images`, whose question must be the template's
    own, byte for byte, and whose answer one of its labels.

    Args:
        path: the file.
        template: of the recipe `ragvl`.

    Raises:
        InputError: a line that is not as it should be; it is named.
    """
    for where, row in read_rows(path):
        if "messages" in row:
            yield _chat(row, path, where, template)
        else:
            yield from _candidates(row, path, where)


# ---- inside -------------------------------------------------------------------------------------


def _candidates(row: dict[str, Any], path: str | os.PathLike[str], where: str) -> Iterator[ImageRow]:
    check_columns(row, _QUERY, where)
    query = clean_text(filled_text(row, "query", where))
    for number, candidate in enumerate(list_field(row, "candidates", where)):
        place = f"{where}, candidate {number}"
        check_columns(candidate, _CANDIDATE, place)
        is_relevant = truth_field(candidate, "relevant", place)
        file = _image([candidate.get("image")], path, place)
        caption = clean_text(text_field(candidate, "caption", place))
        yield ImageRow(query, caption, file, is_relevant, place)


def _chat(row: dict[str, Any], path: str | os.PathLike[str], where: str, template: Template) -> ImageRow:
    check_columns(row, _CHAT, where)
    contents: dict[str, str] = {}
    messages = row["messages"]
    for message in messages if isinstance(messages, list) else [messages]:
        if (
            not isinstance(message, dict)
            or set(message) != {"role", "content"}
            or not isinstance(message["content"], str)
        ):
            raise InputError(
                f"{where}: a message must have a 'role' and a text as 'content', not {message!r:.80}"
            )
        if message["role"] in contents:
            raise InputError(f"{where}: two messages of {message['role']!r}")
        contents[message["role"]] = message["content"]
    if set(contents) != {"user", "assistant"}:
        raise InputError(
            f"{where}: a message of 'user' and one of 'assistant' are expected, not {list(contents)}"
        )
    labels = [label.strip() for label in template.labels]
    if contents["assistant"] not in labels:
        raise InputError(
            f"{where}: the answer must be one of {', '.join(labels)}, but is {contents['assistant']!r}"
        )
    file = _image(row.get("images"), path, where)
    caption, query = _caption_and_query(contents["user"], template, file, where)
    return ImageRow(query, caption, file, contents["assistant"] == labels[0], where)


def _caption_and_query(text: str, template: Template, file: Path, where: str) -> tuple[str, str]:
    """Caption and query of a prompt that the template has made."""
    try:
        image = Image.open(file)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    prompt = _prompt_text(template, "0caption0", "0question0", image)
    head, _, rest = prompt.partition("0caption0")
    between, _, tail = rest.partition("0question0")
    inner = text[len(head) : len(text) - len(tail)]
    caption, separator, query = inner.rpartition(between)
    if not separator or _prompt_text(template, caption, query, image) != text:
        raise InputError(f"{where}: the question is not worded as template {template.name!r} words it")
    return caption, query


def _prompt_text(template: Template, caption: str, query: str, image: Image) -> str:
    prompt = template.render(query, [caption], images=[(image,)])
    return "".join(PLACE if s.image is not None else s.text for s in prompt.segments)


def _image(names: object, path: str | os.PathLike[str], where: str) -> Path:
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        raise InputError(f"{where}: exactly one image is expected, the name of a file, but got {names!r:.80}")
    (file,) = existing_images(names, path, where)
    return file
