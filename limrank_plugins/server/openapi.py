"""The server's description in OpenAPI: every answer of its routes and guards, with the shape it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from limrank_plugins.server.guards import OPEN
from limrank_plugins.server.limits import Limits
from limrank_plugins.server.schemas import Detail, RerankAnswer

_COMPONENT = "#/components/schemas/{model}"
_AGAIN = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Detail, "description": description}
    for status, description in {
        401: "A token is needed.",
        403: "A page of another origin asks.",
        404: "No reranker has this name.",
        408: "The body did not arrive in time.",
        413: "The request holds more than is accepted.",
        415: "The body is not sent as JSON.",
        421: "The Host header names another server.",
        422: "The request is not of this shape, or cannot be kept to.",
        429: "Too many requests at a time; see Retry-After.",
        500: "A defect of the server.",
        502: "The model failed, or judged none of the documents.",
        503: "It took too long, or the server is about to end; see Retry-After.",
    }.items()
}
for _status in (429, 503):
    REFUSALS[_status]["headers"] = _AGAIN
REFUSALS[401]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}

_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "result", "failed", "answer", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
RANKED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": RerankAnswer,
        "description": "The ranking; with `stream`, server-sent events.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
    **REFUSALS,
}
"""The answers of a route that ranks."""


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of these statuses, and those that any request may get."""
    return {status: REFUSALS[status] for status in sorted({403, 421, *statuses})}


def body_schema(shape: type[BaseModel]) -> dict[str, Any]:
    """The body of a route, which the server reads itself, within limits."""
    schema = {"$ref": _COMPONENT.format(model=shape.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI, bodies: Sequence[type[BaseModel]], limits: Limits, *, tokens: bool) -> None:
    """Have the app give its description, with the bodies, their limits and the token that is asked for."""
    most = {
        "query": {"maxLength": limits.query_characters},
        "documents": {"maxItems": limits.documents},
        "depth": {"maximum": limits.documents},
    }

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
            for shape in bodies:
                body = shape.model_json_schema(ref_template=_COMPONENT)
                for name, limit in most.items():
                    body["properties"].get(name, {}).update(limit)
                parts = body.pop("$defs", {})
                schema["components"]["schemas"] |= {**parts, shape.__name__: body}
            if tokens:
                schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                for path, operations in schema["paths"].items():
                    for operation in operations.values():
                        operation["security"] = [] if path in OPEN else [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
