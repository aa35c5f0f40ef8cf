"""A recipe's prompt as LlamaIndex writes prompts (`{query}`, `{document}`), and back.

Recipes write Jinja, LlamaIndex fills braces. Literal text goes both ways unchanged, so a prompt
that comes back as it was asks the model in the same bytes and finds its stored answers again.
"""

from __future__ import annotations

import re
from dataclasses import replace

from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate, PromptTemplate

from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template

_JINJA_PLACE = re.compile(r"\{\{\s*(query|document)\s*\}\}")
_BRACE_PLACE = re.compile(r"\{(query|document)\}")
# Filled in for the two variables while a prompt is formatted; no wording holds them by accident.
_MARKS = {"query": "\ue002query\ue003", "document": "\ue002document\ue003"}
_MARK = re.compile("\ue002(query|document)\ue003")


def to_wording(template: Template) -> str | None:
    """The template's prompt with `{query}` and `{document}`, or None where it loops over documents."""
    literals = _JINJA_PLACE.split(template.prompt)[::2]
    if any(mark in literal for literal in literals for mark in ("{{", "{%", "{#")):
        return None
    return _JINJA_PLACE.sub(r"{\1}", template.prompt)


def from_prompt(prompt: BasePromptTemplate) -> str:
    """The wording of any LlamaIndex completion prompt, its partial values and mappings filled in.

    Raises:
        InputError: it is a chat prompt (who says what is the recipe's), or it does not hold both
            variables.
    """
    if isinstance(prompt, ChatPromptTemplate):
        raise InputError("give the wording as a PromptTemplate, not a chat prompt: roles are the recipe's")
    return check_wording(_MARK.sub(r"{\1}", prompt.format(llm=None, **_MARKS)))


def check_wording(wording: str) -> str:
    """The wording itself, if it holds `{query}` and `{document}`; an `InputError` otherwise."""
    missing = [f"{{{name}}}" for name in _MARKS if f"{{{name}}}" not in wording]
    if missing:
        raise InputError(
            f"the prompt must hold {{query}} and {{document}} where these go, but {' and '.join(missing)} "
            f"is missing in {wording!r}"
        )
    return wording


def reworded(template: Template, wording: str) -> Template:
    """The template with another prompt; its labels and how a thought ends stay the recipe's."""
    pieces = _BRACE_PLACE.split(wording)  # literal, variable, literal, variable, …, literal
    pieces[::2] = [literal.replace("{", "{{ '{' }}") for literal in pieces[::2]]
    pieces[1::2] = [f"{{{{ {variable} }}}}" for variable in pieces[1::2]]
    return replace(template, prompt="".join(pieces))


def as_prompt(wording: str) -> PromptTemplate:
    """The wording as LlamaIndex hands prompts out."""
    return PromptTemplate(wording)
