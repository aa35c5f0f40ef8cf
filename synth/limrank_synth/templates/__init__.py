"""The stages' prompts as data: one TOML file each, with `system`, `user` and `source`.

Values are put in by Jinja and never read as a template themselves, so braces in a seed are braces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from limrank_plugins.configuration import checked, parse_toml
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Prompt, clean_text
from limrank_synth.role_requests import chat_prompt

_ENGINE = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A system's and a user's message with places to fill."""

    name: str
    user: str
    system: str = ""
    source: str = ""

    def render(self, **values: object) -> Prompt:
        """The chat.

        Raises:
            InputError: a place in the template has no value.
        """
        clean = {k: clean_text(v) if isinstance(v, str) else v for k, v in values.items()}
        try:
            rendered = [_ENGINE.from_string(text).render(clean).strip() for text in (self.system, self.user)]
        except TemplateError as error:
            raise InputError(f"prompt template {self.name!r}: {error}") from error
        system, user = rendered
        return chat_prompt(*([("system", system)] if system else []), ("user", user))


@cache
def chat_template(name: str) -> ChatTemplate:
    """The template of this name.

    Raises:
        InputError: there is none, or its file is not as it should be.
    """
    file = resources.files(__name__).joinpath(f"{name}.toml")
    if not file.is_file():
        raise InputError(f"there is no synthesis template {name!r}")
    where = f"synthesis template {name!r}"
    return checked(ChatTemplate, {"name": name} | parse_toml(file.read_text("utf-8"), where), where)
