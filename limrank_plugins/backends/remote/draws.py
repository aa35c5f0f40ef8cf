"""P(label) from sampled answers, for servers that give no log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from limrank_plugins.backends.protocols import Failed, LabelReading, Reply
from limrank_plugins.backends.remote.faults import brief
from limrank_plugins.backends.remote.replies import Label, label_written, spellings, text_of, usage_of
from limrank_plugins.backends.remote.wire import Sent, Wire
from limrank_plugins.data import Usage
from limrank_plugins.wording import number_of


async def draw_label(
    wire: Wire, sent: Sent, draws: int, spent: Usage | None = None, written: str = "?"
) -> Reply:
    """P(label) from answers drawn at temperature 1, for servers that give no log-probabilities.

    Args:
        wire: to the server.
        sent: the prompt.
        draws: how many answers to draw; 0: none may be.
        spent: what a call for them has cost; None where none was made.
        written: what was written in that call.
    """
    usage = spent if spent is not None else Usage()
    if draws == 0:
        cause = "the server gives no log-probabilities" if written.strip() else "the model wrote no answer"
        return Failed(f"{cause}, and draws=0 forbids sampling", usage)
    if not await wire.samples():
        return Failed(
            "the server gives no log-probabilities and does not sample: at temperature 1 it writes the "
            "same whatever the seed, so there is nothing to read (for `transformers serve` give "
            "server='transformers')",
            usage,
        )
    accepted = spellings(sent.labels)
    counts = [0] * len(accepted)
    # A chat model may write a blank or a mark first; a completion's next token is the verdict.
    budget = 4 if sent.is_chat else 1
    others: list[tuple[str, str]] = []
    for draw in range(draws):
        body, choice = await wire.ask(sent, budget, temperature=1.0, seed=draw)
        cost = usage_of(body)
        if draw or spent is not None:  # the same prompt again, all of it known to the server already
            cost = replace(cost, prompt_tokens=0, shared_tokens=0)
        usage = usage + cost
        if (label := label_written(text_of(choice), accepted)) is not None:
            counts[label] += 1
        else:
            others.append((text_of(choice), str(choice.get("finish_reason"))))
    if any(counts) or any(text.strip() for text, _ in others):
        wire.say(
            f"the server gives no log-probabilities: label probabilities are estimated from "
            f"{draws} sampled answers each, in steps of {1 / (draws + 1):.2f} "
            f"(draws={draws})"
        )
    if not any(counts):
        return Failed(_no_label(others, sent.labels, budget), usage)
    total = math.log(sum(counts) + 0.5 * len(counts))
    return LabelReading(tuple(math.log(n + 0.5) - total for n in counts), usage, sent.cut_tokens)


def _no_label(answers: Sequence[tuple[str, str]], labels: Sequence[Label], budget: int) -> str:
    """Why not one of the sampled answers, each with how it ended, is a label."""
    number = number_of(len(answers), "sampled answer")
    written = next((text for text, _ in answers if text.strip()), None)
    if written is not None:
        names = [label.text.strip() for label in labels]
        return f"none of {number} was one of the labels {names}, but {brief(written, 80)!r}"
    if any(finish == "length" for _, finish in answers):
        spent = f"the model spent its budget of {number_of(budget, 'token')} before it wrote an answer"
        return f"{spent}, in {number}"
    return f"the model wrote no answer, in {number}"
