"""What servers of decisions take and give: OpenAI's Decisions and System One, one idea in two shapes.

A call holds an input and typed questions about it; the answer holds probabilities for each question. Read
in November 2026 from OpenAI's SDK and from the documentation of TypeSafe, Fireworks, OpenRouter and LiteLLM;
`docs/served-models.md` says what was exercised. Both take the key as a bearer token.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limrank_plugins.backends.protocols import LabelReading
from limrank_plugins.backends.remote.addresses import Address
from limrank_plugins.backends.remote.faults import CallFailed
from limrank_plugins.backends.remote.replies import amount_of, check_no_error, count_of, part_of, show_value
from limrank_plugins.backends.remote.services import Service, find_service
from limrank_plugins.checks import is_finite
from limrank_plugins.data import Usage

Json = dict[str, Any]
Kind = Literal["predicate", "score", "choice"]

KEY = "DECISIONS_API_KEY"
"""The environment variable with the key of a server that is no service of the table."""
_ADDRESS = "DECISIONS_BASE_URL"
_OFF = 0.02  # from 1, of a sum of probabilities that are rounded to two digits
_LEAST = 1e-3  # of the least probability that is not 0: what a probability rounded to 0 is read as


@dataclass(frozen=True, slots=True)
class Question:
    """A question about the input.

    Attributes:
        kind: `"predicate"`: is it the first of two labels? `"score"`: which label of a scale is it?
            `"choice"`: which label of any?
        text: what is asked. It alone says what the question is about: no model sees a question's name.
        labels: what there is to choose from; of a scale the best first.
    """

    kind: Kind
    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decider(Service):
    """One kind of server.

    Attributes:
        most: questions in one call at most; None where only their tokens count.
        together: tokens of one call at most; None where no limit is known.
        alone: tokens of the input and the longest question at most.
        through_sdk: it is asked through the SDK of OpenAI.
    """

    most: int | None = None
    together: int | None = None
    alone: int | None = None
    through_sdk: bool = False

    def request(self, model: str, texts: Mapping[str, str], questions: Sequence[Question]) -> Json:
        """The body that asks these questions about these texts, each of which has a name."""
        if self.through_sdk:
            bodies = [_openai_question(question, i) for i, question in enumerate(questions)]
            return {
                "model": model,
                "input": json.dumps(texts, ensure_ascii=False, indent=0),
                "questions": bodies,
            }
        return {
            "model": model,
            "state": dict(texts),
            "questions": {_name(i): _system_one_question(q) for i, q in enumerate(questions)},
        }

    def readings(self, body: Any, questions: Sequence[Question]) -> list[LabelReading | str]:
        """What each question's labels got, or why they got nothing.

        Raises:
            CallFailed: the answer does not say which question is which, or says that the server failed;
                nothing of it is believed.
        """
        check_no_error(body)
        answers = body.get("answers") if isinstance(body, dict) else None
        if self.through_sdk:
            answers = _by_name(answers)
        if not isinstance(answers, dict):
            raise CallFailed(f"the server's reply holds no answers but: {show_value(body)}", 200)
        unknown = next((name for name in answers if name not in map(_name, range(len(questions)))), None)
        if unknown is not None:
            raise CallFailed(f"the server answers {show_value(unknown)}, which was not asked", 200)
        return [
            _reading(answers[_name(i)], question)
            if _name(i) in answers
            else f"the server gives no answer to question {i + 1} of {len(questions)}"
            for i, question in enumerate(questions)
        ]


DECIDERS = {
    decider.name: decider
    for decider in (
        Decider(
            "openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "decisions",
            most=400, through_sdk=True,
        ),
        Decider(
            "systemone", "https://api.typesafe.ai/v1", ("TYPESAFE_API_KEY",), "systemone",
            together=65_536, alone=32_768,
        ),
    )
}  # fmt: skip


def find_decider(base_url: str | None, dialect: str) -> tuple[Address, Decider]:
    """The server's address and its dialect.

    By default OpenAI's service is asked; an address that ends with a dialect's path, or is that of its
    service, speaks it, and any other System One, as most servers of one's own do.

    Raises:
        InputError: there is no such dialect, or the address cannot be used.
    """
    address = base_url if base_url is not None else os.environ.get(_ADDRESS)
    if address is not None and dialect == "auto":
        path = address.partition("?")[0].rstrip("/")
        named = [name for name, decider in DECIDERS.items() if path.endswith(f"/{decider.path}")]
        dialect = next(iter(named), dialect)
    return find_service(base_url, dialect, DECIDERS, variable=_ADDRESS, hosted="openai", other="systemone")


def charged_in(body: Any) -> Usage:
    """Tokens and dollars as the server counted them; 0 where it does not say (`priced`: it says dollars).

    A number of cached tokens that is none makes the whole prompt uncounted: what it costs is not known.
    """
    usage = part_of(body, "usage")
    cost = amount_of(usage.get("cost"))
    read = count_of(usage.get("input_tokens"))
    known = part_of(usage, "input_tokens_details").get("cached_tokens")
    amount = amount_of(known)
    if known is not None and (amount is None or not amount.is_integer()):
        read = 0
    cached = count_of(known)
    return Usage(
        prompt_tokens=read,
        shared_tokens=min(cached, read),
        generated_tokens=count_of(usage.get("output_tokens")),
        cost=cost or 0.0,
        priced=int(cost is not None),
    )


# ---- questions ----------------------------------------------------------------------------------


def _name(position: int) -> str:
    return f"q{position + 1}"


def _openai_question(question: Question, position: int) -> Json:
    body: Json = {"type": question.kind, "name": _name(position), "instructions": question.text}
    if question.kind == "score":
        body["levels"] = [{"label": label} for label in reversed(question.labels)]
    elif question.kind == "choice":
        body["choices"] = [{"value": label} for label in question.labels]
    return body


def _system_one_question(question: Question) -> Json:
    kind = "noul" if question.kind == "predicate" else question.kind
    body: Json = {"type": kind, "instructions": question.text}
    if question.kind == "score":
        body["criteria"] = list(reversed(question.labels))
    elif question.kind == "choice":
        body["criteria"] = dict.fromkeys(question.labels)
    return body


# ---- answers ------------------------------------------------------------------------------------


def _by_name(answers: Any) -> Json | None:
    """The answers of a list by the names that they give back; None where there is no list.

    Raises:
        CallFailed: it does not say which question is which.
    """
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        return None
    named: Json = {}
    for answer in answers:
        name = answer.get("name")
        if not isinstance(name, str):
            raise CallFailed(f"the server answers {show_value(name)}, which was not asked", 200)
        if name in named:
            raise CallFailed(f"the server answers {show_value(name)} twice: they cannot be told apart", 200)
        named[name] = answer
    return named


def _reading(answer: Any, question: Question) -> LabelReading | str:
    kind = answer.get("type") if isinstance(answer, dict) else None
    if kind == "refusal":
        return "the model refused to answer"
    if kind != question.kind and not (kind == "noul" and question.kind == "predicate"):
        return f"the server's answer is {show_value(answer)}, but a {question.kind} was asked for"
    if question.kind == "predicate":
        probability = answer.get("noul" if kind == "noul" else "probability")
        wrong = _no_probability(probability)
        return wrong or LabelReading(
            (_log(probability), _log(1.0 - probability)), probability=float(probability)
        )
    probabilities = _by_label(answer.get("probabilities"), question)
    if not isinstance(probabilities, dict) or probabilities.keys() != set(question.labels):
        return f"the server's probabilities are not those of the labels: {show_value(answer)}"
    wrong = next(filter(None, map(_no_probability, probabilities.values())), "")
    if wrong:
        return wrong
    if abs((total := math.fsum(probabilities.values())) - 1.0) > _OFF:
        return f"the server's probabilities add up to {total:.3f}, not to 1"
    # What a scale expects is a mean, for which a 0 is a 0. A choice is an order, in which the least likely
    # ones have a place behind the others.
    least = 0.0 if question.kind == "score" else _LEAST * min(p for p in probabilities.values() if p > 0)
    return LabelReading(tuple(_log(max(probabilities[label], least)) for label in question.labels))


def _by_label(probabilities: Any, question: Question) -> Json | None:
    """Probabilities by label; None where a label comes twice, or there are none."""
    if isinstance(probabilities, dict):
        if question.kind == "choice":
            return probabilities
        # System One names the levels of a scale by their places, the lowest 0.
        places = {str(i): label for i, label in enumerate(reversed(question.labels))}
        return {places.get(place, f"level {place}"): p for place, p in probabilities.items()}
    if not isinstance(probabilities, list) or not all(isinstance(one, dict) for one in probabilities):
        return None
    name = "label" if question.kind == "score" else "value"
    labels = [one.get(name) for one in probabilities]
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        return None
    return {one[name]: one.get("probability") for one in probabilities}


def _no_probability(value: Any) -> str:
    """Why a value is no probability; empty where it is one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and is_finite(value)
    return "" if is_number and 0 <= value <= 1 else f"the server's probability is {show_value(value)}"


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
