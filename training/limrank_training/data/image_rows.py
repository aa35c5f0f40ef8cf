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
from limrank_plugins.images import Image, image_files
from limrank_plugins.prompts import Template
from limrank_plugins.segments import clean_text
from limrank_training.data.passage_rows import read_objects

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
    for where, row in read_objects(path):
        if "messages" in row:
            yield _chat(row, path, where, template)
        else:
            yield from _candidates(row, path, where)


# ---- inside -------------------------------------------------------------------------------------


def _candidates(row: dict[str, Any], path: str | os.PathLike[str], where: str) -> Iterator[ImageRow]:
    _known(row, _QUERY, where)
    query = _text(row, "query", where)
    if not query.strip():
        raise InputError(f"{where}: 'query' is missing or empty")
    candidates = row.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        raise InputError(f"{where}: 'candidates' must be a list of one or more")
    for number, one in enumerate(candidates):
        at = f"{where}, candidate {number}"
        if not isinstance(one, dict):
            raise InputError(f"{at}: expected an object with an 'image', but got {str(one)[:80]!r}")
        _known(one, _CANDIDATE, at)
        if not isinstance(one.get("relevant"), bool):
            raise InputError(f"{at}: 'relevant' must be true or false, but is {one.get('relevant')!r}")
        file = _image([one.get("image")], path, at)
        yield ImageRow(query, _text(one, "caption", at), file, one["relevant"], at)


def _chat(row: dict[str, Any], path: str | os.PathLike[str], where: str, template: Template) -> ImageRow:
    _known(row, _CHAT, where)
    said: dict[str, str] = {}
    messages = row["messages"]
    for one in messages if isinstance(messages, list) else [messages]:
        if (
            not isinstance(one, dict)
            or set(one) != {"role", "content"}
            or not isinstance(one["content"], str)
        ):
            raise InputError(
                f"{where}: a message must have a 'role' and a text as 'content', not {one!r:.80}"
            )
        if one["role"] in said:
            raise InputError(f"{where}: two messages of {one['role']!r}")
        said[one["role"]] = one["content"]
    if set(said) != {"user", "assistant"}:
        raise InputError(
            f"{where}: a message of 'user' and one of 'assistant' are expected, not {list(said)}"
        )
    labels = [label.strip() for label in template.labels]
    if said["assistant"] not in labels:
        raise InputError(
            f"{where}: the answer must be one of {', '.join(labels)}, but is {said['assistant']!r}"
        )
    file = _image(row.get("images"), path, where)
    caption, query = _asked(said["user"], template, file, where)
    return ImageRow(query, caption, file, said["assistant"] == labels[0], where)


def _asked(text: str, template: Template, file: Path, where: str) -> tuple[str, str]:
    """Caption and question of a prompt that the template has made."""
    try:
        image = Image.open(file)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    wording = _wording(template, "0caption0", "0question0", image)
    head, _, rest = wording.partition("0caption0")
    between, _, tail = rest.partition("0question0")
    inner = text[len(head) : len(text) - len(tail)]
    caption, found, query = inner.rpartition(between)
    if not found or _wording(template, caption, query, image) != text:
        raise InputError(f"{where}: the question is not worded as template {template.name!r} words it")
    return caption, query


def _wording(template: Template, caption: str, query: str, image: Image) -> str:
    prompt = template.render(query, [caption], images=[(image,)])
    return "".join(PLACE if s.image is not None else s.text for s in prompt.segments)


def _image(names: object, path: str | os.PathLike[str], where: str) -> Path:
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        raise InputError(f"{where}: exactly one image is expected, the name of a file, but got {names!r:.80}")
    (file,) = image_files(names, path, where)
    if not file.is_file():
        raise InputError(f"{where}: there is no image {names[0]!r} beside the file")
    return file


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{where}: {name!r} must be a text, but is {value!r}")
    return clean_text(value)


def _known(row: dict[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(set(row) - names)
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; known: {', '.join(sorted(names))}")
