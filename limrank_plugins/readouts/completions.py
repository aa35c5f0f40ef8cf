"""Completions of prompts, with reasoning before them or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from limrank_plugins.backends.protocols import (
    Failed,
    Generate,
    Generated,
    Program,
    Reply,
    Request,
    WrittenOrder,
)
from limrank_plugins.data import Usage
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.parsing import cut_to_sentence, joined_reasoning, split_reasoning
from limrank_plugins.readouts.usable import is_blank, no_reasoning, nothing_usable
from limrank_plugins.segments import Prompt, Segment, clean_text


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote behind one prompt.

    Attributes:
        text: everything, the start of the answer that the template gave included; empty where the model
            did not get beyond its reasoning.
        reasoning: what it wrote before its answer, in the text or apart from it, or None.
        apart: that part of the reasoning which a server returned apart from the text.
        failure: why there is no text or nothing in it, or None.
        cut_tokens: tokens of the documents that did not fit, taken together.
        usage: what it cost.
    """

    text: str
    reasoning: str | None = None
    apart: str = ""
    failure: str | None = None
    cut_tokens: int = 0
    usage: Usage = Usage()


def complete(
    prompts: Sequence[Prompt],
    template: Template,
    settings: Settings,
    answer_tokens: int,
    draws: int = 0,
    order: WrittenOrder | None = None,
) -> Program[list[Completion]]:
    """Let the model complete each prompt, with reasoning or without.

    Without reasoning, the answer begins with the template's `no_think`. Reasoning that its budget
    ended is closed with the template's `close`, where it has one, and the answer is asked for again; nothing
    is closed where there is no reasoning (`no_reasoning`).
    A completion without an answer is a failure.

    Args:
        prompts: where to start.
        template: its `stop`, `close` and `no_think` are used.
        settings: how to reason and draw.
        answer_tokens: the budget behind the reasoning.
        draws: completions of each prompt, drawn at random where there are several, and returned one
            prompt after the other. 0: one each, the prompts being the samples (permutations of a group),
            which differ without any drawing.
        order: the form of the answer where the reasoning is over, if it is an order.
    """
    if draws:
        samples = [sample for _ in prompts for sample in range(draws)]
        prompts = [prompt for prompt in prompts for _ in range(draws)]
        temperature = settings.drawn_temperature
    else:
        samples = list(range(len(prompts)))
        temperature = settings.temperature if settings.temperature is not None else 0.0
    full = settings.reasoning == "full"
    start = "" if full else template.no_think
    answer = replace(order, behind="", opening="") if order is not None else None
    budget = answer_tokens + (settings.max_reasoning_tokens if full else 0)
    replies = yield [
        _generate(
            prompt.then(Segment(start)) if start else prompt,
            template,
            settings,
            budget,
            temperature,
            sample,
            order if full else answer,
        )
        for sample, prompt in zip(samples, prompts, strict=True)
    ]
    completions = [_completion(start, reply, full) for reply in replies]
    cut_off = [isinstance(reply, Generated) and reply.finish == "length" for reply in replies]
    unfinished: list[tuple[int, str]] = []
    for i, reply in enumerate(replies):
        if full and template.close and isinstance(reply, Generated) and not completions[i].text:
            # Its stop strings end the answer, not the reasoning: nobody closed that.
            finish = "length" if reply.finish == "length" else "end"
            nothing = no_reasoning(reply.reasoning, reply.text, finish, budget=budget)
            if nothing is not None:
                if nothing.kind == "refused":
                    completions[i] = replace(completions[i], failure=nothing.reason)
                continue
            written = joined_reasoning(reply.reasoning, reply.text) or ""
            unfinished.append((i, cut_to_sentence(written) if settings.cut_to_sentence else written))
    if unfinished:
        # The model's own words are no more to be trusted with special tokens than a passage.
        again: list[Request] = [
            _generate(
                prompts[i].then(
                    Segment(clean_text(text), trusted=False, written=True), Segment(template.close)
                ),
                template,
                settings,
                answer_tokens,
                temperature,
                samples[i],
                answer,
            )
            for i, text in unfinished
        ]
        replies = yield again
        for (i, text), reply in zip(unfinished, replies, strict=True):
            cut_off[i] = False
            before, now = completions[i], _completion(text + template.close, reply, False)
            completions[i] = Completion(
                now.text,
                before.reasoning,
                failure=now.failure,
                cut_tokens=max(before.cut_tokens, now.cut_tokens),
                usage=before.usage + now.usage,
            )
    return [
        replace(completion, failure=_missing(cut, budget, full))
        if completion.failure is None and is_blank(completion.text)
        else completion
        for completion, cut in zip(completions, cut_off, strict=True)
    ]


def _missing(cut_off: bool, budget: int, full: bool) -> str:
    """Why a completion holds no answer."""
    nothing = nothing_usable("", "length" if cut_off else "end", budget=budget)
    assert nothing is not None
    if not cut_off:
        return nothing.reason
    advice = "raise max_reasoning_tokens" if full else "reasoning='full' gives room to a model that reasons"
    return f"{nothing.reason}: {advice}"


def _generate(
    prompt: Prompt,
    template: Template,
    settings: Settings,
    budget: int,
    temperature: float,
    sample: int,
    order: WrittenOrder | None,
) -> Request:
    return Generate(
        prompt,
        stop=template.stop,
        max_tokens=budget,
        temperature=temperature,
        top_p=settings.top_p,
        seed=settings.seed,
        sample=sample,
        order=order,
    )


def _completion(start: str, reply: Reply, full: bool) -> Completion:
    """The completion that a reply is, behind the start of the answer that the template gave."""
    if isinstance(reply, Failed):
        return Completion("", failure=reply.reason, usage=reply.usage)
    if not isinstance(reply, Generated):
        raise TypeError(f"a backend replied to a request for text with {type(reply).__name__}")
    text, apart = start + reply.text, reply.reasoning.strip()
    inside = split_reasoning(text)[0]
    answered = bool(apart and reply.text.strip())  # a server that splits them returns the answer as the text
    if full and reply.finish == "length" and "</think>" not in text.lower() and not answered:
        # All of it is unfinished reasoning, whether or not the model opened it with a tag.
        reasoning = joined_reasoning(apart, inside if inside is not None else text)
        text = ""
    else:
        reasoning = joined_reasoning(apart, inside)
        if answered and inside is None:
            text = f"</think>{text}"  # the reasoning is over: what follows is read as the answer
    return Completion(text, reasoning, apart, None, reply.cut_tokens, reply.usage)
