r"""The judge reads query and passage in the prompt of training, thinks, and says true or false.

Its trace and verdict are the training example: the prompt is the template that LimRank is asked with,
byte for byte, and the completion is `{trace}\n</think> true`.
"""

from __future__ import annotations

import re
from collections import Counter

from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.lockstep import together
from limrank_plugins.readouts.parsing import split_reasoning
from limrank_synth.asking import Asking, Message, Question, Rejected, Reply, Unusable, insist, is_refusal
from limrank_synth.records import JudgeVote, Rejection, WrittenPassage, WrittenQuery

_VERDICT = re.compile(r"\W*(true|false)\W*", re.IGNORECASE)


def judge(
    query: WrittenQuery,
    passage: WrittenPassage,
    role: str,
    votes: int,
    attempts: int,
    unusable: Counter[str] | None = None,
) -> Asking[list[JudgeVote] | Rejection]:
    """So many independent verdicts on one passage, asked for at the same time.

    Args:
        query: what is searched for.
        passage: what is judged.
        role: `"judge"` or `"second"`.
        votes: how many verdicts, at least 1.
        attempts: for each of them.
        unusable: where answers that cannot be read are counted.

    Returns:
        The verdicts; or why there are none, where one of them could not be had.
    """
    try:
        votes_of = [_one(query, passage, role, vote, attempts, unusable) for vote in range(votes)]
        return (yield from together(votes_of))
    except Rejected as rejected:
        return Rejection("judging", passage.id, f"{role}: {rejected}", passage.text)


def judging_prompt(query: str, passage: str) -> str:
    """What a judge and, later, the trained model read."""
    return load_template("limrank").render(query, [passage]).text


def read_verdict(reply: Reply) -> JudgeVote:
    """Trace and verdict of an answer.

    It is `<think>…</think> true`, the same without the opening tag, or from a server that keeps the
    thought apart from the verdict.

    Raises:
        Unusable: no thought, no verdict, or more than a verdict after the thought.
    """
    if reply.finish == "length":
        raise Unusable("the answer was cut off at its budget of tokens", "cut")
    if not reply.text.strip():
        raise Unusable("the answer is empty", "empty")
    if is_refusal(reply.text):
        raise Unusable("the judge refused", "refused")
    thought, rest = split_reasoning(reply.text)
    if reply.thought.strip():
        thought = reply.thought
    verdict = _VERDICT.fullmatch(rest.strip()) if rest.strip() else None
    if verdict is None:
        raise Unusable(f"the verdict is neither true nor false: {rest.strip()[:60]!r}")
    if thought is None or not thought.strip():
        raise Unusable("there is a verdict, but no reasoning before it")
    return JudgeVote(thought.strip(), verdict[1].lower() == "true")


def _one(
    query: WrittenQuery,
    passage: WrittenPassage,
    role: str,
    vote: int,
    attempts: int,
    unusable: Counter[str] | None,
) -> Asking[JudgeVote]:
    # The chat API has the model's own opening of the thought; the prompt's "<think>" would be its words.
    prompt = judging_prompt(query.text, passage.text).removesuffix("<think>").rstrip("\n")

    def ask(attempt: int) -> Question:
        return Question(role, (Message("user", prompt),), attempt, sample=vote)

    return (yield from insist(ask, read_verdict, attempts, unusable))
