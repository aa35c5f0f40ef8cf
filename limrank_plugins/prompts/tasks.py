"""What is wanted of a reranker, for templates that say it in a place of its own rather than in the query."""

from __future__ import annotations

import re

from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, instructed, instructions

_MARK = "{{ query }}"
_LIKE_A_NAME = re.compile(r"[a-z0-9_/-]+")


def query_and_task(query: Query, instruction: str | None, template: Template | None) -> tuple[str, str]:
    """What a template's places for the query and for the task are filled with.

    A template without a place for the task gets every instruction in the query (`instructed`), and "". With
    one, the query stays as it is, and the task is the first of these that there is: the query's own
    instruction; the reranker's; the template's.

    Args:
        query: text and, for FollowIR, its own instruction.
        instruction: the reranker's: a text, or the name of a benchmark's. Of one that holds `{{ query }}`
            the words around that are the task.
        template: what is filled.

    Raises:
        InputError: an instruction that cannot be used.
    """
    if template is None or template.task is None:
        return instructed(query, instruction), ""
    task = template.task if instruction is None else _task(instruction) or template.task
    own = query.instruction.strip()
    return query.text, own if own and own != query.text.strip() else task


def is_task(instruction: str | None) -> bool:
    """Whether an instruction is a sentence that only a place for the task can take."""
    return instruction is not None and "{{" not in instruction and instruction not in instructions()


def _task(instruction: str) -> str:
    """The task that an instruction says; empty where it says none."""
    text = instructions().get(instruction, instruction)
    words = " ".join(piece.strip() for piece in text.split(_MARK)).strip()
    if not words and _MARK in text:
        return ""
    if not words or "{{" in words or (is_task(instruction) and _LIKE_A_NAME.fullmatch(words)):
        raise InputError(
            f"the instruction must be a sentence that says the task, or one of: "
            f"{', '.join(sorted(instructions()))}; but got {instruction!r}"
        )
    return words
