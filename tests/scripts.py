"""Scripted models for tests: deterministic functions of the text, so that any order gives the same answer."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from limrank_plugins import AsyncScriptedBackend, Reranker, ScriptedBackend
from limrank_plugins.segments import Prompt

_HELPS = "Does the passage above help to answer the query?"


def unit(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big") / 2**32


def passage_of(prompt: Prompt) -> str:
    """The passage a prompt asks about."""
    return next(segment.text for segment in prompt.segments if segment.cuttable)


def passages_of(prompt: Prompt) -> list[str]:
    """The passages of a group, in the order they are shown in."""
    return [segment.text for segment in prompt.segments if segment.cuttable]


def logits(prompt: Prompt) -> tuple[float, ...]:
    """Label logits by passage and length of the thought; in a chat, one for each passage or grade."""
    if grades := grades_of(prompt):
        return tuple(6 * unit(f"{grade}{passage_of(prompt)}") for grade in range(grades))
    asked = "".join(segment.text for segment in prompt.segments if segment.trusted)
    if any(
        words in asked
        for words in ("'Yes' or 'No'", "True or False", '"yes" or "no"', "1 for relevant", _HELPS)
    ):
        return (6 * unit(passage_of(prompt)), 3.0)
    if prompt.is_chat:
        return tuple(6 * unit(text) for text in passages_of(prompt))
    return (6 * unit(passage_of(prompt)), 3.0 + (0.1 if "thought" in prompt.text else 0.0))


def grades_of(prompt: Prompt) -> int:
    """How many grades the rubric of a prompt has; 0 where there is none."""
    asked = "".join(segment.text for segment in prompt.segments if segment.trusted)
    return len(re.findall("^[A-K]: ", asked, re.MULTILINE))


def best_first(prompt: Prompt) -> list[int]:
    """The group's positions by what the passages say; equal ones as they are shown."""
    texts = passages_of(prompt)
    return sorted(range(len(texts)), key=lambda i: -unit(texts[i]))


def answer(prompt: Prompt) -> str:
    """What a well-behaved model answers in a chat: an order, a number, a letter or a score, as asked to."""
    order = best_first(prompt)
    asked = "".join(segment.text for segment in prompt.segments if segment.trusted)
    if "<score>" in asked:
        score = f"{int(5 * unit(passage_of(prompt)))}\n</score>"
        return score if asked.endswith("<score>\n") else f"It says {passage_of(prompt)}. <score>\n{score}"
    if "[] > []" in asked:
        said = " > ".join(f"[{i + 1}]" for i in order)
    elif "as JSON with their labels" in asked:
        grades = {f"[{i + 1}]": int(11 * unit(text)) for i, text in enumerate(passages_of(prompt))}
        said = json.dumps(grades)
        if asked.endswith(begun := '{"[1]":'):
            return said.removeprefix(begun) + "</answer>"
    elif "_id_1, " in asked:
        said = f"[{', '.join(str(i + 1) for i in order)}]"
    elif "[3]" in asked:
        said = f"[{order[0] + 1}]"
    else:
        return f" {chr(ord('A') + order[0])}"
    if "<answer>" not in asked:
        return said
    if asked.endswith("<answer>"):
        return f"{said}</answer>"
    return f"<think>A thought about {passages_of(prompt)[0]}.</think> <answer>{said}</answer>"


def thought(prompt: Prompt) -> str:
    """A thought that closes by itself for about half of the passages; an answer to a chat."""
    helps = _HELPS in prompt.text
    if prompt.is_chat and not helps:
        return answer(prompt)
    mood = unit("mood" + passage_of(prompt))
    end = "\n\nAnswer: yes" if helps else "</think> true"
    return f"A thought. Another thought.{end}" if mood > 0.5 else "A thought without an end. It goes o"


def vector(text: str, role: str) -> list[float]:
    """A vector by text."""
    return [unit(f"{axis}{text}") - 0.5 for axis in range(8)]


def attention(prompt: Prompt) -> list[list[float]]:
    """Attention to each word of each passage; the same for all where no real query is asked about."""
    if "N/A" in prompt.text:
        return [[0.1 for _ in [*text.split(), "."]] for text in passages_of(prompt)]
    return [[0.1 + unit(text) for _ in [*text.split(), "."]] for text in passages_of(prompt)]


def full_backend(*, asynchronous: bool = False, **scripts: Any) -> ScriptedBackend:
    """A backend that can be asked everything."""
    made = {
        "read_labels": logits,
        "generate": thought,
        "encode": vector,
        "score_pairs": lambda query, passage: unit(passage),
        "classify": lambda text, labels: [6 * unit(text + label) for label in labels],
        "likelihood": lambda prompt, continuation: [-unit(passage_of(prompt))] * len(continuation.split()),
        "attend": attention,
    } | scripts
    return (AsyncScriptedBackend if asynchronous else ScriptedBackend)(**made)


def reranker(recipe: str = "limrank", *, asynchronous: bool = False, **options: Any) -> Reranker:
    """A reranker on a backend that can be asked everything."""
    return Reranker(recipe, backend=full_backend(asynchronous=asynchronous), **options)
