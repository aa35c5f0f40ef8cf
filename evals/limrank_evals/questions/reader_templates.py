"""How questions with options are worded: templates as data, and the question with its options as one text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from limrank_evals.answers import choice_letters
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, load_template, parse_template
from limrank_plugins.readouts.labels import without_tags

READER_TEMPLATES = ("choices", "limrank", "completion")
"""The wordings that come with the package: ours, the released evaluation's, and one for base models."""


def reader_template(name: str) -> Template:
    """A reader's wording: one of `READER_TEMPLATES`, or the path of a `.toml` file.

    It is given `query` (the question with its options), `documents` (none for a closed book), `labels`
    ([1], [2], …, one for each document) and `letters` ("A, B, C and D").

    Raises:
        InputError: there is none of that name, or the file is no template.
    """
    if name.endswith(".toml"):
        return load_template(name)
    if name not in READER_TEMPLATES:
        raise InputError(
            f"there is no template {name!r} for multiple choice: give the path of a .toml file, or one of "
            f"{', '.join(READER_TEMPLATES)}"
        )
    return packaged(name)


def packaged(name: str) -> Template:
    """A template of this folder."""
    file = resources.files("limrank_evals.questions").joinpath("prompts", f"{name}.toml")
    return parse_template(name, file.read_text("utf-8"))


def with_options(question: str, choices: Sequence[str]) -> str:
    """The question, and below it its options in this order: (A), (B), …; without anything that is a tag."""
    letters = choice_letters(len(choices))
    options = [f"({letter}) {choice.strip()}" for letter, choice in zip(letters, choices, strict=True)]
    return without_tags("\n".join([question.strip(), "", *options]))


def listed(letters: str) -> str:
    """Letters for a sentence: "A, B, C and D"."""
    return letters if len(letters) == 1 else f"{', '.join(letters[:-1])} and {letters[-1]}"
