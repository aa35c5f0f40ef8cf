"""Prompts, from LlamaIndex to limrank and back.

Recipes write prompts in Jinja, LlamaIndex fills braces. Literal text goes both ways unchanged, so a prompt
that comes back as it was asks the model in the same bytes and finds its stored replies again.
"""

from __future__ import annotations

import re
from dataclasses import replace

from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate

from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template

_JINJA_SLOT = re.compile(r"\{\{\s*(query|document)\s*\}\}")
_BRACE_SLOT = re.compile(r"\{(query|document)\}")
# Filled in for the two variables while a prompt is formatted; no prompt holds them by accident.
_MARKS = {"query": "\ue002query\ue003", "document": "\ue002document\ue003"}
_MARK = re.compile("\ue002(query|document)\ue003")


def brace_text(template: Template) -> str | None:
    """The template's prompt with `{query}` and `{document}`, or None where it loops over documents."""
    literals = _JINJA_SLOT.split(template.prompt)[::2]
    if any(mark in literal for literal in literals for mark in ("{{", "{%", "{#")):
        return None
    return _JINJA_SLOT.sub(r"{\1}", template.prompt)


def brace_text_of(prompt: BasePromptTemplate) -> str:
    """The text of any LlamaIndex completion prompt, its partial values and mappings filled in.

    Raises:
        InputError: it is a chat prompt (the roles are the recipe's), or a variable is missing.
    """
    if isinstance(prompt, ChatPromptTemplate):
        raise InputError("give the prompt as a PromptTemplate, not a chat prompt: the roles are the recipe's")
    return check_brace_text(_MARK.sub(r"{\1}", prompt.format(llm=None, **_MARKS)))


def check_brace_text(text: str) -> str:
    """The text itself, if it holds `{query}` and `{document}`; an `InputError` otherwise."""
    missing = [f"{{{name}}}" for name in _MARKS if f"{{{name}}}" not in text]
    if missing:
        raise InputError(
            f"the prompt must hold {{query}} and {{document}} where these go, but {' and '.join(missing)} "
            f"is missing in {text!r}"
        )
    return text


def with_prompt(template: Template, text: str) -> Template:
    """The template with another prompt; its labels and the end of the reasoning stay the recipe's."""
    pieces = _BRACE_SLOT.split(text)  # literal, variable, literal, variable, …, literal
    pieces[::2] = [literal.replace("{", "{{ '{' }}") for literal in pieces[::2]]
    pieces[1::2] = [f"{{{{ {variable} }}}}" for variable in pieces[1::2]]
    return replace(template, prompt="".join(pieces))
