r"""The judge reads query and passage in the prompt of training, thinks, and says true or false.

Its trace and verdict are the training example: the prompt is the template that LimRank is asked with,
byte for byte, and the completion is `{trace}\n</think> true`.
"""

from __future__ import annotations

import re
from collections import Counter

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_plugins.readouts.usable import can_be_seen
from limrank_synth.records import JudgeVote, Rejection, WrittenPassage, WrittenQuery
from limrank_synth.role_requests import (
    RoleProgram,
    RoleRequest,
    StageError,
    UnusableReply,
    chat_prompt,
    insist,
    plain_text,
)

_VERDICT = re.compile(r"\W*(true|false)\W*", re.IGNORECASE)


def judge(
    query: WrittenQuery,
    passage: WrittenPassage,
    role: str,
    votes: int,
    attempts: int,
    unusable: Counter[str] | None = None,
) -> RoleProgram[list[JudgeVote] | Rejection]:
    """So many independent votes on one passage, asked for at the same time.

    Args:
        query: what is searched for.
        passage: what is judged.
        role: `"judge"` or `"second"`.
        votes: how many, at least 1.
        attempts: for each of them.
        unusable: where completions that cannot be read are counted.

    Returns:
        The votes; or why there are none, where one of them could not be had.
    """
    try:
        programs = [_vote(query, passage, role, vote, attempts, unusable) for vote in range(votes)]
        return (yield from together(programs))
    except StageError as rejected:
        return Rejection(
            "judging", passage.id, f"{role}: {rejected}", passage.text, is_failure=rejected.is_failure
        )


def judging_prompt(query: str, passage: str) -> str:
    """What a judge and, later, the trained model read."""
    return load_template("limrank").render(query, [passage]).text


def read_vote(reply: Generated) -> JudgeVote:
    """Trace and verdict of a completion.

    It is `<think>…</think> true`, the same without the opening tag, or from a server that keeps the
    reasoning apart from the verdict.

    Raises:
        UnusableReply: nothing usable, no reasoning, no verdict, or more than a verdict after it.
    """
    reasoning, rest = split_reasoning(plain_text(reply))
    if reply.reasoning.strip():
        reasoning = reply.reasoning
    verdict = _VERDICT.fullmatch(rest.strip())
    if verdict is None:
        raise UnusableReply(f"the verdict is neither true nor false: {rest.strip()[:60]!r}")
    if reasoning is None or not can_be_seen(reasoning):
        raise UnusableReply("there is a verdict, but no reasoning before it")
    return JudgeVote(reasoning.strip(), verdict[1].lower() == "true")


def _vote(
    query: WrittenQuery,
    passage: WrittenPassage,
    role: str,
    vote: int,
    attempts: int,
    unusable: Counter[str] | None,
) -> RoleProgram[JudgeVote]:
    # The chat API has the model's own opening of the reasoning; the prompt's "<think>" would be its words.
    prompt = judging_prompt(query.text, passage.text).removesuffix("<think>").rstrip("\n")

    def ask(attempt: int) -> RoleRequest:
        return RoleRequest(role, chat_prompt(("user", prompt)), attempt, sample=vote)

    return (yield from insist(ask, read_vote, attempts, unusable))
