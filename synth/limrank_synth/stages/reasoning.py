"""Long reasoning about what would satisfy a query, before any passage is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from limrank_plugins.readouts.parsing import split_reasoning
from limrank_synth.asking import Asking, Question, Reply, insist, plain_text
from limrank_synth.guidelines import Guidelines
from limrank_synth.records import WrittenQuery
from limrank_synth.templates import chat_template


def reason(
    query: WrittenQuery, guidelines: Guidelines, attempts: int, unusable: Counter[str] | None = None
) -> Asking[WrittenQuery]:
    """Let the reasoner think; the query comes back with its thought.

    Raises:
        Rejected: no answer could be used.
    """
    least, most = guidelines.words["thought"]

    def ask(attempt: int) -> Question:
        messages = chat_template("reason").render(query=query.text, least=least, most=most)
        return Question("reasoner", messages, attempt)

    def read(reply: Reply) -> str:
        # A reasoning model may put its first draft into <think>: what it says after it is the result.
        text = plain_text(reply)
        thought, rest = split_reasoning(text)
        return rest.strip() or thought or text

    thought = yield from insist(ask, read, attempts, unusable)
    return replace(query, thought=thought)
