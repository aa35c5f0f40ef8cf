"""`RelevanceJudge`: a model grades how well a passage answers a query, from 0 to 3, as UMBRELA asks it.

UMBRELA (arXiv 2406.06519) reproduces the Bing assessor with an open prompt. What cannot be read is no grade:
its own code takes it for a 0, which would make a broken judge look strict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from limrank_plugins.backends.metered import Purse
from limrank_plugins.backends.protocols import Backend, Failed, Program
from limrank_plugins.data import Document, Query
from limrank_plugins.prices import Price
from limrank_plugins.prompts import Template, instructed, load_template, parse_template
from limrank_plugins.readouts.labels import TAG
from limrank_plugins.readouts.lockstep import forgetting
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.segments import Prompt
from limrank_plugins.store import Store
from limrank_plugins.writer import Writer

UMBRELA = "umbrela"
HIGHEST = 3
"""The grade of a passage that answers the query and says nothing else; 0 is the lowest."""

# "2/3", "2.5", "1 or 2" and "1-2" are no grade.
_NUMBER = r"(-?[0-9]{1,6})(?![0-9]|[.,][0-9]|\s{0,3}(?:/|-|–|or\b|to\b)\s{0,3}[0-9])"
_FINAL = re.compile(rf"final\s{{1,3}}score[^0-9\n-]{{0,20}}{_NUMBER}", re.IGNORECASE)
_ALONE = re.compile(rf"\W{{0,8}}(?:(?:score|grade|category)\W{{0,8}})?{_NUMBER}\W{{0,8}}", re.IGNORECASE)


class GradeReply(NamedTuple):
    """What a judge made of a passage.

    Attributes:
        grade: from 0 to `HIGHEST`; None where there is none.
        text: the completion behind its reasoning.
        failure: why there is no grade; None where there is one.
    """

    grade: int | None
    text: str = ""
    failure: str | None = None


def read_grade(text: str) -> int | None:
    """The grade that a completion gives behind its reasoning, or None where it gives none or several.

    It stands behind "final score", or is alone on the first or the last line.
    """
    body = TAG.sub(" ", split_reasoning(text)[1])
    written = {int(found[1]) for found in _FINAL.finditer(body)}
    if not written:
        lines = [line.strip() for line in body.split("\n") if line.strip()]
        ends = (*lines[:1], *lines[-1:])
        written = {int(alone[1]) for line in ends if (alone := _ALONE.fullmatch(line))}
    grade = next(iter(written)) if len(written) == 1 else None
    return grade if grade is not None and 0 <= grade <= HIGHEST else None


def judge_template(name: str = UMBRELA) -> Template:
    """How a judge is asked: UMBRELA's prompt, or a `.toml` file that is given `query` and `document`.

    Raises:
        InputError: there is no such file, or it is no template.
    """
    if name != UMBRELA:
        return load_template(name)
    file = resources.files("limrank_evals.judging").joinpath("prompts", f"{name}.toml")
    return parse_template(name, file.read_text("utf-8"))


def judge_prompt(template: Template, query: Query, document: Document) -> Prompt:
    """The prompt for one pair."""
    return template.render(instructed(query, None), [template.passage.written(document)])


class RelevanceJudge(Writer):
    """Asks a model for the grades of passages. Safe to use from many threads.

    Args:
        model: folder, hub name or GGUF file of an instruction-tuned model; for a served one, its name there.
        backend: a backend that writes, or the name of one; default `"openai"`.
        template: see `judge_template`.
        max_tokens: the budget of a reply, reasoning before it included; default 1,024.
        seed: of a server's sampling, which is greedy.
        store: replies found in it are not asked for again, new ones are put into it. Default: none.
        price: see `Writer`, and so is `purse`.
        purse: what may be spent.
        options: passed to the backend's constructor where the backend is given by name.

    Raises:
        InputError: a value that cannot be used.
        CapabilityError: the backend cannot write.
        MissingExtra: an optional dependency is not installed.

    Example:
        >>> from limrank_plugins import ScriptedBackend
        >>> from limrank_plugins.data import Document, Query
        >>> judge = RelevanceJudge(backend=ScriptedBackend(generate=lambda prompt: "##final score: 2"))
        >>> pair = Query("why does milk curdle in tea", "q"), Document("Acid curdles it.", "d")
        >>> judge.run(judge.grade(*pair)).grade
        2
    """

    def __init__(
        self,
        model: str | None = None,
        backend: str | Backend = "openai",
        *,
        template: str = UMBRELA,
        max_tokens: int = 1024,
        seed: int = 0,
        store: Store | None = None,
        price: Price | None = None,
        purse: Purse | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            judge_template(template),
            model,
            backend,
            purpose="a relevance judge",
            max_tokens=max_tokens,
            seed=seed,
            store=store,
            price=price,
            purse=purse,
            role="judge",
            options=options,
        )

    def grade(self, query: Query, document: Document) -> Program[GradeReply]:
        """The program that asks for one grade; a store forgets a reply that holds none."""
        return forgetting(self._grade(query, document), lambda reply: reply.grade is None)

    def _grade(self, query: Query, document: Document) -> Program[GradeReply]:
        (reply,) = yield [self.request(judge_prompt(self.template, query, document))]
        reply = self.usable(reply)
        if isinstance(reply, Failed):
            return GradeReply(None, failure=reply.reason)
        text, grade = split_reasoning(reply.text)[1].strip(), read_grade(reply.text)
        if grade is None:
            return GradeReply(None, text, f"the judge wrote no grade from 0 to {HIGHEST}: {_shown(text)}")
        return GradeReply(grade, text)


def _shown(text: str) -> str:
    line = " ".join(text[:400].split())
    return repr(line if len(line) <= 80 else f"{line[:80]}…")
