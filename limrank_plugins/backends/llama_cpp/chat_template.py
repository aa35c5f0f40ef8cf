"""The chat template of a GGUF file, applied as `transformers` applies one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class GGUFChat:
    """What `as_completion` needs of a tokenizer.

    Args:
        name: what messages call the model.
        chat_template: None: the file has none.
        tokens: special tokens by the names that templates know (`bos_token`, …).
    """

    def __init__(self, name: str, chat_template: str | None, tokens: dict[str, str]) -> None:
        self.name_or_path = name
        self.chat_template = chat_template
        self._tokens = tokens

    def apply_chat_template(self, messages: Sequence[dict[str, Any]], **how: Any) -> str:
        """The messages as the template writes them; templates raise what they like."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        known = {"messages": messages, "tools": None, "documents": None, **self._tokens, **how}
        return environment.from_string(self.chat_template or "").render(known)


class _Generation(Extension):
    """`{% generation %}` marks what a trainer learns from; what is written is the same."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _now(form: str) -> str:
    return datetime.now().strftime(form)
