"""The body of a request: read, held against its shape and the limits, or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from limrank_plugins.segments import clean_text
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.refusals import Refusal
from limrank_plugins.server.schemas import RerankRequest
from limrank_plugins.wording import number_of

M = TypeVar("M", bound=BaseModel)
_MOST_FIELDS = 64
_KINDS = ("str", "int", "DocumentObject", "RankedObject")  # how pydantic names what was tried


def read_request(body: bytes, limits: Limits) -> RerankRequest:
    """The request in a body.

    Raises:
        Refusal: 422 for what is no JSON or not of this shape, 413 for more than is accepted.
    """
    value = read_object(body)
    check_counts(value, limits)
    if b"\\u" in body:  # no other way to write half a character leads through UTF-8
        value = without_halves(value)
    request = read_as(RerankRequest, value)
    check_query(request.query, limits)
    check_texts(request.texts, limits)
    return request


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Refusal: 422, it is none.
    """
    value = _parsed(body)
    if not isinstance(value, dict):
        raise Refusal(422, 'the body must be a JSON object: {"query": …, …}')
    _check_fields(value)
    return value


def check_counts(value: Mapping[str, Any], limits: Limits) -> None:
    """Raise a `Refusal` for more fields (422) or documents (413) than are accepted.

    Before any check that would write a line for each of a million entries.
    """
    _check_fields(value)
    documents = value.get("documents")
    if isinstance(documents, list) and len(documents) > limits.documents:
        raise Refusal(
            413,
            f"documents are too many: at most {limits.documents:,} are accepted, but got {len(documents):,}",
        )


def _check_fields(value: Mapping[str, Any]) -> None:
    if len(value) > _MOST_FIELDS:
        raise Refusal(422, f"the body has {number_of(len(value), 'field')}, of which no request has so many")


def read_as(shape: type[M], value: Mapping[str, Any]) -> M:
    """The object as a request of this shape; a field that is null counts as absent.

    Raises:
        Refusal: 422, it is not of this shape.
    """
    try:
        return shape.model_validate({k: v for k, v in value.items() if v is not None})
    except ValidationError as error:
        problem = Refusal(422, _problems(error))
    raise problem


def check_query(query: str, limits: Limits) -> None:
    """Raise a `Refusal` for a query that is blank (422) or too long (413)."""
    if not query.strip():
        raise Refusal(422, "query is empty: give at least one word")
    if len(query) > limits.query_characters:
        raise Refusal(413, _too_long("query", len(query), limits.query_characters))


def _parsed(body: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as error:
        why = str(error)
    raise Refusal(422, f"the body is not JSON: {why}")


def without_halves(value: dict[str, Any]) -> dict[str, Any]:
    """Texts that were cut within a character, as programs cut emojis, hold U+FFFD there."""

    def clean(text: Any) -> Any:
        return clean_text(text) if isinstance(text, str) else text

    def clean_document(entry: Any) -> Any:
        return {k: clean(v) for k, v in entry.items()} if isinstance(entry, dict) else clean(entry)

    documents = value.get("documents")
    if isinstance(documents, list):
        value = value | {"documents": [clean_document(entry) for entry in documents]}
    return value | {"query": clean(value["query"])} if "query" in value else value


def _problems(error: ValidationError) -> str:
    """What is wrong, without the values, which may be long or private."""
    wrong = [
        (_place(entry["loc"]), entry["msg"]) for entry in error.errors(include_input=False, include_url=False)
    ]
    # Of an object with a wrong field it is no news that it is no text.
    problems = [
        f"{place}: {message}"
        for place, message in wrong
        if not any(other.startswith(f"{place}.") for other, _ in wrong)
    ]
    more = f"; and {len(problems) - 4:,} more" if len(problems) > 4 else ""
    return "; ".join(problems[:4]) + more


def _place(location: Sequence[int | str]) -> str:
    parts = [*location[:1], *(part for part in location[1:] if part not in _KINDS)]
    return ".".join(str(part)[:80] for part in parts) or "the body"


def check_texts(texts: Sequence[str], limits: Limits) -> None:
    """Raise a `Refusal` (413) for documents that are too long, alone or together."""
    lengths = [len(text) for text in texts]
    for position, length in enumerate(lengths):
        if length > limits.document_characters:
            raise Refusal(413, _too_long(f"documents.{position}", length, limits.document_characters))
    if sum(lengths) > limits.characters:
        raise Refusal(413, _too_long("documents together", sum(lengths), limits.characters))


def _too_long(what: str, length: int, most: int) -> str:
    verb = "are" if what.endswith("together") else "is"
    return f"{what} {verb} too long: at most {most:,} characters are accepted, but got {length:,}"
