"""From the reasoning to descriptions of passages, and from each description to its passage."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.wording import number_of
from limrank_synth.guidelines import Guidelines
from limrank_synth.records import (
    DIRECT,
    INDIRECT,
    NEGATIVE,
    Intent,
    Rejection,
    WrittenPassage,
    WrittenQuery,
)
from limrank_synth.role_requests import (
    RoleProgram,
    RoleRequest,
    StageError,
    UnusableReply,
    insist,
    json_object,
    plain_text,
    text_field,
)
from limrank_synth.templates import chat_template


def intents_for(rng: random.Random, direct: int, indirect: int, negative: int) -> list[Intent]:
    """What is to be written for one query: so many of each sort, kinds drawn without repetition."""
    return [
        *([DIRECT] * direct),
        *rng.sample(INDIRECT, indirect),
        *rng.sample(NEGATIVE, negative),
    ]


def describe(
    query: WrittenQuery,
    intents: Sequence[Intent],
    guidelines: Guidelines,
    attempts: int,
    unusable: Counter[str] | None = None,
) -> RoleProgram[list[str]]:
    """One description for each intent, in their order.

    Raises:
        StageError: no completion could be used.
    """

    def ask(attempt: int) -> RoleRequest:
        messages = chat_template("describe").render(
            query=query.text,
            thought=query.reasoning,
            intents=list(intents),
            meanings=guidelines.meaning,
            attempt=attempt,
        )
        return RoleRequest("writer", messages, attempt)

    def read(reply: Generated) -> list[str]:
        planned = json_object(reply).get("passages")
        if not isinstance(planned, list) or len(planned) != len(intents):
            raise UnusableReply(f"the answer does not plan {number_of(len(intents), 'passage')}")
        if not all(isinstance(entry, dict) for entry in planned):
            raise UnusableReply("an entry of the plan is no JSON object")
        return [text_field(entry, "description") for entry in planned]

    return (yield from insist(ask, read, attempts, unusable))


def write(
    query: WrittenQuery,
    intents: Sequence[Intent],
    descriptions: Sequence[str],
    guidelines: Guidelines,
    attempts: int,
    unusable: Counter[str] | None = None,
) -> RoleProgram[tuple[list[WrittenPassage], list[Rejection]]]:
    """The passages, and what could not be written; one bad passage does not take the others with it."""
    results = yield from together(
        [
            _passage(query, f"{query.id}/{number}", intent, description, guidelines, attempts, unusable)
            for number, (intent, description) in enumerate(zip(intents, descriptions, strict=True))
        ]
    )
    passages = [result for result in results if isinstance(result, WrittenPassage)]
    return passages, [result for result in results if isinstance(result, Rejection)]


def _passage(
    query: WrittenQuery,
    identifier: str,
    intent: Intent,
    description: str,
    guidelines: Guidelines,
    attempts: int,
    unusable: Counter[str] | None,
) -> RoleProgram[WrittenPassage | Rejection]:
    least, most = guidelines.words["passage"]

    def ask(attempt: int) -> RoleRequest:
        messages = chat_template("write").render(
            description=description,
            query=query.text,
            intent=intent.name,
            meaning=guidelines.meaning[intent.name],
            least=least,
            most=most,
            attempt=attempt,
        )
        return RoleRequest("writer", messages, attempt)

    def read(reply: Generated) -> str:
        return split_reasoning(plain_text(reply))[1].strip()

    try:
        text = yield from insist(ask, read, attempts, unusable)
    except StageError as rejected:
        return Rejection("passages", identifier, str(rejected), description, is_failure=rejected.is_failure)
    return WrittenPassage(identifier, text, intent, description)
