"""Prompt templates as data: one TOML file per template beside this module.

A template file holds:

    prompt    what the model reads, in Jinja: {{ query }}, {{ document }} (or {{ documents }} to loop over,
              with {{ labels }} and whatever else the recipe's readout gives it). A document's images
              stand right before it, or where {{ image }} (in a loop, images[loop.index0]) is;
              {{ pictures }} is how many each document has
    task      what is wanted of the model, where nobody says otherwise; the prompt has {{ task }} then.
              "" where nothing is wanted: {% if task %} leaves its line out
    chat      true: the prompt is a user's message in the model's own chat template, not a raw completion
    system    the system's message of a chat; empty for none
    prefill   how the assistant's answer begins
    stop      strings that end the reasoning
    close     what is written after a reasoning that had to be ended, right before the verdict
    no_think  what is written instead of any reasoning, right before the verdict
    labels    the verdicts, the relevant one first; each one token in its place
    max_reasoning_tokens
              the reasoning's budget where the caller names none; without it, the recipe's
    passage   a table: how a document is written. titled (what stands for one with a title, with
              {{ title }} and {{ text }}), white_space (keep, trim, or single: every run of it one space),
              limit ("300 words", "512 tokens"): the most of it that is read
    source    where the text comes from

Rendering never lets a query or a document through the template engine: their places are marked
first and filled afterwards, so braces in a passage are just braces, and the pieces stay apart as
`Segment`s.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Literal

from jinja2 import StrictUndefined, TemplateError
from jinja2 import Template as JinjaTemplate
from jinja2.sandbox import SandboxedEnvironment

from limrank_plugins.checks import whole_number
from limrank_plugins.configuration import parse_toml
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.pipes import read_text, regular_file
from limrank_plugins.prompts.passages import PLAIN, PassageLayout, parse_layout
from limrank_plugins.segments import Prompt, Segment, clean_text

_ENGINE = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
# A private-use character pair: a template cannot hold it by accident, and untrusted text never gets here.
_MARK = re.compile("\ue000(query|task|(?:document|image):\\d+)\ue001")


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt template; see the module's documentation for the fields of its file."""

    name: str
    prompt: str
    chat: bool = False
    system: str = ""
    prefill: str = ""
    labels: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    close: str = ""
    no_think: str = ""
    source: str = ""
    passage: PassageLayout = PLAIN
    task: str | None = None
    max_reasoning_tokens: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the template's text: equal digests ask a model in equal bytes about short passages.

        Neither comments nor how much of a passage is read or of a reasoning written are part of it.
        """
        written = [self.passage.titled, self.passage.white_space]
        texts = [
            self.prompt,
            self.chat,
            self.system,
            self.prefill,
            self.labels,
            self.stop,
            self.close,
            self.no_think,
            # Left out where a passage is as it is, and there is no task: cards from before there was a choice
            # stay valid.
            *(written if written != [PLAIN.titled, PLAIN.white_space] else []),
            *([self.task] if self.task else []),
        ]
        return hashlib.sha256(json.dumps(texts).encode("ascii")).hexdigest()

    def render(
        self,
        query: str,
        documents: Sequence[str],
        *,
        query_images: Sequence[Image] = (),
        images: Sequence[Sequence[Image]] = (),
        task: str = "",
        **names: object,
    ) -> Prompt:
        """The prompt for a query and its documents, as segments.

        Args:
            query: the query; never trusted.
            documents: one text, or several for a template that loops; never trusted.
            query_images: shown right before the query, where it stands first.
            images: for each document, shown right before it, or where the template puts them; empty for
                none at all.
            task: what is wanted; never trusted. Default: the template's own.
            names: further names for the template (labels, priors, …). They are trusted: numbers and
                the package's own strings only, nothing a user or a collection wrote.

        Raises:
            InputError: the template is not valid Jinja, or names something it is not given.
        """
        counts = tuple(map(len, images)) or (0,) * len(documents)
        has_task = None if self.task is None else bool(task or self.task)
        try:
            # Without further names all prompts of so many documents have the same pieces.
            pieces = (_rendered if names else _pieces)(self.prompt, counts, has_task, **names)
        except TemplateError as error:
            raise InputError(f"prompt template {self.name!r}: {error}") from error
        placed = {piece.partition(":")[2] for piece in pieces[1::2] if images and piece.startswith("image:")}
        role = "user" if self.chat else ""
        segments = [Segment(self.system, shared=True, role="system")] if self.chat and self.system else []
        shared = True
        for position, piece in enumerate(pieces):
            if position % 2 == 0:
                if piece:
                    segments.append(_literal(piece, shared, role))
            elif piece == "query":
                # A template may repeat the query; its images (hundreds of tokens) are shown once.
                segments += [Segment("", False, shared=shared, role=role, image=i) for i in query_images]
                query_images = ()
                segments.append(Segment(clean_text(query), trusted=False, shared=shared, role=role))
            elif piece == "task":
                text = clean_text(task or self.task or "")
                segments.append(Segment(text, trusted=False, shared=shared, role=role))
            else:
                shared = False
                kind, _, number = piece.partition(":")
                if images and (kind == "image" or number not in placed):
                    shown = images[int(number)]
                    segments += [Segment("", False, role=role, image=image) for image in shown]
                if kind == "document":
                    text = clean_text(documents[int(number)])
                    most = self.passage.most_tokens
                    segments.append(Segment(text, trusted=False, cuttable=True, role=role, most=most))
        if self.prefill:
            segments.append(Segment(self.prefill, role="assistant" if self.chat else ""))
        return Prompt(tuple(segments))


def completion(template: Template, trace: str | None, label: str) -> tuple[Segment, ...]:
    """What a model is trained to write behind the rendered prompt: its reasoning, the end of it, the label.

    The same segments as at inference: the reasoning is nobody's template, so it cannot hold a marker, and
    the label stands where it is read. Rank1's layout: a line end, the reasoning, `close`, the label.

    Args:
        template: it has `close` and `no_think`.
        trace: the reasoning, or None for a verdict without one.
        label: one of the template's.

    Raises:
        InputError: a label the template does not have.
    """
    if label not in template.labels:
        raise InputError(
            f"the label must be one of {', '.join(map(repr, template.labels))}, but is {label!r}"
        )
    if trace is None:
        return (Segment(template.no_think), Segment(label))
    return (Segment(f"\n{clean_text(trace.strip())}", trusted=False), Segment(template.close), Segment(label))


def parse_template(name: str, text: str) -> Template:
    """Read a template file's text.

    Raises:
        InputError: not TOML, no `prompt`, or a field that is not known.
    """
    fields = parse_toml(text, f"prompt template {name!r}")
    texts = {"prompt", "system", "prefill", "labels", "stop", "close", "no_think", "source", "task"}
    known = texts | {"chat", "passage", "max_reasoning_tokens"}
    unknown = sorted(set(fields) - known)
    if unknown or "prompt" not in fields:
        problem = f"has unknown fields {unknown}" if unknown else "has no field 'prompt'"
        raise InputError(f"prompt template {name!r} {problem}; known fields: {sorted(known)}")
    for several in ("labels", "stop"):
        fields[several] = tuple(fields.get(several, ()))
    if "max_reasoning_tokens" in fields:
        whole_number(f"max_reasoning_tokens of {name!r}", fields["max_reasoning_tokens"], least=1)
    fields["passage"] = parse_layout(name, fields.get("passage", {}))
    return Template(name=name, **fields)


def template_names() -> list[str]:
    """The templates that come with the package."""
    files = resources.files(__name__).iterdir()
    return sorted(f.name[:-5] for f in files if f.name.endswith(".toml") and f.name != "instructions.toml")


def _rendered(
    prompt: str, counts: tuple[int, ...], has_task: bool | None, **names: object
) -> tuple[str, ...]:
    """The rendered template at its marks: literal, mark, literal, mark, …, literal.

    Args:
        prompt: the template's.
        counts: how many images each document has.
        has_task: whether a task is named; None for a template without one.
        names: see `Template.render`.
    """
    marks = [f"\ue000document:{i}\ue001" for i in range(len(counts))]
    places = [f"\ue000image:{i}\ue001" for i in range(len(counts))]
    values: dict[str, object] = {**names, "query": "\ue000query\ue001", "documents": marks}
    values |= {"images": places, "pictures": list(counts)}
    if has_task is not None:
        values["task"] = "\ue000task\ue001" if has_task else ""
    if len(marks) == 1:
        values |= {"document": marks[0], "image": places[0]}
    return tuple(_MARK.split(_compiled(prompt).render(values)))


_pieces = lru_cache(maxsize=64)(_rendered)


@lru_cache(maxsize=256)
def _literal(text: str, shared: bool, role: str) -> Segment:
    """A piece of a template: the same in every prompt."""
    return Segment(text, shared=shared, role=role)


@lru_cache(maxsize=64)
def _compiled(prompt: str) -> JinjaTemplate:
    # A long document is rendered once for every place where it might be split.
    return _ENGINE.from_string(prompt)


@cache
def load_template(name: str) -> Template:
    """The template of this name, or at this path (a name that ends in `.toml`)."""
    if name.endswith(".toml"):
        path = regular_file(name, "prompt template file")
        return parse_template(path.stem, read_text(path))
    if name not in template_names():
        raise InputError(f"there is no prompt template {name!r}; there are: {', '.join(template_names())}")
    return parse_template(name, resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))


@cache
def instructions() -> dict[str, str]:
    """Per-benchmark instructions by name, for example `"bright"` or `"beir/scifact"`."""
    text = resources.files(__name__).joinpath("instructions.toml").read_text("utf-8")
    return {name: entry["text"] for name, entry in tomllib.loads(text).items()}


def instructed(query: Query, instruction: str | None) -> str:
    """The query as the model reads it.

    Args:
        query: text and, for FollowIR, its own instruction, which is appended with a space.
        instruction: None, the name of a benchmark's instruction, or a text that holds `{{ query }}`.

    Raises:
        InputError: a name that is not known.
    """
    text = query.text
    if query.instruction and query.instruction.strip() != text.strip():
        text = f"{text} {query.instruction}"
    if instruction is None:
        return text
    pattern = instruction if "{{" in instruction else instructions().get(instruction)
    if pattern is None:
        raise InputError(
            f"there is no instruction {instruction!r}: give a text that holds {{{{ query }}}}, "
            f"or one of: {', '.join(sorted(instructions()))}"
        )
    mark = "{{ query }}"
    if mark not in pattern:
        raise InputError(f"the instruction must hold {mark} where the query goes, but got {instruction!r}")
    return pattern.replace(mark, text)


Intent = Literal["either", "direct", "background"]
"""What a query wants: nothing is said of it, passages that answer, or also those an answer builds on."""


def intended(text: str, intent: Intent) -> str:
    """The query as the model reads it, and behind it what it wants; `"either"` leaves it as it is.

    Args:
        text: what `instructed` gives: the sentence stands behind every other instruction.
        intent: of the query; a sentence for each is among the instructions (`intent/direct`, …).
    """
    if intent == "either":
        return text
    return instructions()[f"intent/{intent}"].replace("{{ query }}", text)
