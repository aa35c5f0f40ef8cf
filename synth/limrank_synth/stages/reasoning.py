"""Long reasoning about what would satisfy a query, before any passage is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_synth.guidelines import Guidelines
from limrank_synth.records import WrittenQuery
from limrank_synth.role_requests import RoleProgram, RoleRequest, insist, plain_text
from limrank_synth.templates import chat_template


def reason(
    query: WrittenQuery, guidelines: Guidelines, attempts: int, unusable: Counter[str] | None = None
) -> RoleProgram[WrittenQuery]:
    """Let the reasoner think; the query comes back with its reasoning.

    Raises:
        StageError: no completion could be used.
    """
    least, most = guidelines.words["thought"]

    def ask(attempt: int) -> RoleRequest:
        messages = chat_template("reason").render(query=query.text, least=least, most=most)
        return RoleRequest("reasoner", messages, attempt)

    def read(reply: Generated) -> str:
        # A reasoning model may put its first draft into <think>: what it says after it is the result.
        draft, rest = split_reasoning(reply.text)
        return plain_text(replace(reply, text=rest if rest.strip() else draft or ""))

    reasoning = yield from insist(ask, read, attempts, unusable)
    return replace(query, reasoning=reasoning)
