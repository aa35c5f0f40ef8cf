"""From a seed and a persona to a query that takes reasoning to answer."""

from __future__ import annotations

from collections import Counter

from limrank_plugins.backends.protocols import Generated
from limrank_synth.guidelines import Guidelines
from limrank_synth.records import Persona, Seed, Target, WrittenQuery
from limrank_synth.role_requests import (
    RoleProgram,
    RoleRequest,
    UnusableReply,
    insist,
    json_object,
    text_field,
)
from limrank_synth.templates import chat_template


def rewrite(
    seed: Seed,
    persona: Persona,
    target: Target,
    guidelines: Guidelines,
    attempts: int,
    unusable: Counter[str] | None = None,
) -> RoleProgram[WrittenQuery]:
    """Let the writer make the query.

    Raises:
        StageError: no completion could be used.
    """
    least, most = guidelines.words[target.kind]

    def ask(attempt: int) -> RoleRequest:
        messages = chat_template(f"rewrite-{target.kind}").render(
            seed=seed.text,
            persona=persona.text,
            domain=target.domain,
            difficulty=target.difficulty,
            least=least,
            most=most,
            attempt=attempt,
        )
        return RoleRequest("writer", messages, attempt)

    def read(reply: Generated) -> str:
        text = " ".join(text_field(json_object(reply), "query").split())
        if text.casefold() == seed.text.strip().casefold():
            raise UnusableReply("the query is the seed, word for word")
        return text

    text = yield from insist(ask, read, attempts, unusable)
    return WrittenQuery(f"{seed.id}/{target.kind}", text, seed, persona, target)
