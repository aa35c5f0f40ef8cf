"""Servers of decisions on loopback, as strict as the real ones, with a toy model behind them.

Requests and answers of the OpenAI dialect go through the pydantic types of its SDK. What the model answers
depends on the texts alone that a question names, so it is known whom every answer is about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from scripts import unit
from servers import Answer, Call

Json = dict[str, Any]
TOKENS = 7  # of every text, as these servers count


def relevance(passage: str) -> float:
    """P(yes) of a passage."""
    return round(0.05 + 0.9 * unit(passage), 6)


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights as probabilities."""
    return {label: weight / sum(weights.values()) for label, weight in weights.items()}


def grades(labels: Iterable[str], passage: str) -> dict[str, float]:
    """The probabilities of a scale's labels, or of grades to choose from."""
    return shares({label: 0.01 + unit(f"{label}{passage}") for label in labels})


def choices(labels: Iterable[str], passages: Iterable[str]) -> dict[str, float]:
    """The probabilities of the labels of some passages: the better, the likelier."""
    return shares({label: relevance(text) ** 3 for label, text in zip(labels, passages, strict=True)})


def named(question: str, texts: Mapping[str, str]) -> list[str]:
    """The passages that a question names, in its order."""
    return [texts[name] for name in re.findall(r"`(passage \d+)`", question)]


def texts_of(call: Call) -> dict[str, str]:
    """The texts of a call by name."""
    texts: dict[str, str] = call.body["state"] if "state" in call.body else json.loads(call.body["input"])
    return texts


def passages_of(call: Call) -> list[str]:
    """The passages of a call."""
    return [text for name, text in texts_of(call).items() if name.startswith("passage")]


def questions_of(call: Call) -> list[Json]:
    """The questions of a call."""
    asked = call.body["questions"]
    return list(asked.values()) if isinstance(asked, dict) else asked


def _read(options: list[str], question: str, texts: Mapping[str, str]) -> dict[str, float]:
    passages = named(question, texts)
    return grades(options, passages[0]) if "grades:" in question else choices(options, passages)


def openai(call: Call) -> Any:
    """OpenAI's Decisions, without faults."""
    from openai.types.decision import Decision
    from openai.types.decision_create_params import DecisionCreateParams
    from pydantic import TypeAdapter, ValidationError

    if call.path != "/v1/decisions":
        return Answer({"error": {"message": "Not Found"}}, 404)
    try:
        _consume(TypeAdapter(DecisionCreateParams).validate_python(call.body))
    except ValidationError as error:
        return Answer({"error": {"message": f"not a request of the SDK's: {error}"}}, 400)
    texts = texts_of(call)
    if not 1 <= len(call.body["questions"]) <= 400:
        return Answer({"error": {"message": "Provide at most 400 questions"}}, 400)
    answers = [_openai_answer(question, texts) for question in call.body["questions"]]
    body = {"model": call.body["model"], "answers": answers, "usage": _openai_usage(len(texts))}
    Decision.model_validate(body, strict=True)
    return body


def _openai_usage(texts: int) -> Json:
    return {
        "input_tokens": TOKENS * texts,
        "input_tokens_details": {"cached_tokens": TOKENS, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": TOKENS * texts + 2,
    }


def _openai_answer(question: Json, texts: Mapping[str, str]) -> Json:
    text, head = question["instructions"], {"type": question["type"], "name": question["name"]}
    if question["type"] == "predicate":
        return head | {"probability": relevance(named(text, texts)[0])}
    if question["type"] == "score":
        found = grades([level["label"] for level in question["levels"]], named(text, texts)[0])
        rows = [{"label": k, "probability": p, "value": i} for i, (k, p) in enumerate(found.items())]
        return head | {"score": 0.5, "confidence": 0.5, "probabilities": rows}
    found = _read([choice["value"] for choice in question["choices"]], text, texts)
    rows = [{"value": label, "probability": p} for label, p in sorted(found.items(), key=lambda one: -one[1])]
    return head | {"choice": rows[0]["value"], "confidence": 0.5, "probabilities": rows}


def system_one(call: Call) -> Any:
    """System One, without faults."""
    if call.path != "/v1/systemone":
        return Answer({"detail": "Not Found"}, 404)
    if call.body.keys() != {"model", "state", "questions"} or not isinstance(call.body["questions"], dict):
        return Answer({"detail": [{"msg": "model, state and questions are needed"}]}, 422)
    texts = texts_of(call)
    answers = {name: _system_one_answer(q, texts) for name, q in call.body["questions"].items()}
    usage = {"input_tokens": TOKENS * len(texts), "output_tokens": 2}
    return {"model": call.body["model"], "answers": answers, "usage": usage}


def _system_one_answer(question: Json, texts: Mapping[str, str]) -> Json:
    text, kind = question["instructions"], question["type"]
    if kind == "noul":
        return {"type": kind, "noul": relevance(named(text, texts)[0])}
    if kind == "score":
        assert 2 <= len(question["criteria"]) <= 10
        found = list(grades(question["criteria"], named(text, texts)[0]).values())
        return {"type": kind, "score": 0.5, "probabilities": {str(i): p for i, p in enumerate(found)}}
    assert 2 <= len(question["criteria"]) <= 255
    return {"type": kind, "choice": "A", "probabilities": _read(list(question["criteria"]), text, texts)}


def _consume(value: Any) -> None:
    """Validate all of it: pydantic checks the items of an iterable only as they are taken."""
    if isinstance(value, Mapping):
        for one in value.values():
            _consume(one)
    elif not isinstance(value, str) and isinstance(value, Iterable):
        for one in value:
            _consume(one)


SERVERS = {"openai": openai, "systemone": system_one}
"""By dialect."""
