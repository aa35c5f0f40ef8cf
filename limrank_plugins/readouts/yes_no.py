"""P(true) / (P(true) + P(false)) at the verdict's position, with or without reasoning before it.

The score of LimRank and Rank1 (arXiv 2502.18418 §2): pointwise, in [0, 1], comparable across
queries. With z the logits at the position after `</think>`, it equals sigmoid(z_true - z_false).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import (
    Failed,
    Generate,
    Generated,
    Generates,
    LabelReading,
    Program,
    ReadLabels,
    ReadsLabels,
    Reply,
    Request,
)
from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.prompts import Intent, Template, intended
from limrank_plugins.prompts.each import prompt_each
from limrank_plugins.prompts.tasks import query_and_task
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.labels import without_tags
from limrank_plugins.readouts.parsing import cut_to_sentence, joined_reasoning
from limrank_plugins.readouts.usable import no_reasoning
from limrank_plugins.segments import Prompt, Segment, clean_text
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class YesNo:
    """Reads the verdict of every document on its own.

    Attributes:
        intent: what the query wants, written behind it; `"either"` writes nothing: the trained prompt.
        frame: the tags that the template puts before its parts. None of the texts can write one, nor a tag
            around reasoning: their angle brackets become round ones. Empty: the texts stay as they are.
    """

    comparable: bool = True
    intent: Intent = "either"
    frame: tuple[str, ...] = ()
    permutes: ClassVar[bool] = False
    is_pointwise: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Label logits always; text only where there is reasoning."""
        return (ReadsLabels,) if settings.reasoning == "none" else (Generates, ReadsLabels)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge each document; see `Readout.ask`."""
        if template is None or len(template.labels) != 2:
            raise InputError("a yes-no readout needs a template with two labels, the relevant one first")
        text, task = query_and_task(query, settings.instruction, template)
        text, task = self._neutral(intended(text, self.intent)), self._neutral(task)
        end = template.no_think if settings.reasoning == "none" else ""

        def render(passage: str, images: tuple[Image, ...]) -> Prompt:
            prompt = template.render(text, [passage], query_images=query.images, images=[images], task=task)
            return prompt.then(Segment(end)) if end else prompt

        passages = [self._neutral(template.passage.written(document)) for document in documents]
        prompts = prompt_each(documents, passages, render)
        if settings.reasoning == "none":
            replies = yield [ReadLabels(prompt, template.labels) for prompt in prompts]
            return Scores(tuple(label_verdict(reply) for reply in replies))
        return Scores(tuple((yield from _reason(prompts, template, settings))))

    def _neutral(self, text: str) -> str:
        return without_tags(text, self.frame) if self.frame else text


def probability(logits: Sequence[float]) -> float | None:
    """P(first label) among two labels, or None where a logit is NaN or both are infinite alike."""
    difference = logits[0] - logits[1]
    if math.isnan(difference):
        return None
    if difference >= 0:
        return 1.0 / (1.0 + math.exp(-difference))
    return math.exp(difference) / (1.0 + math.exp(difference))


def _reason(prompts: list[Prompt], template: Template, settings: Settings) -> Program[list[Verdict]]:
    budget, temperature = settings.max_reasoning_tokens, settings.drawn_temperature
    draws: list[Request] = [
        Generate(
            prompt, template.stop, budget, temperature, settings.top_p, settings.seed, sample, template.labels
        )
        for prompt in prompts
        for sample in range(settings.samples)
    ]
    replies = yield draws
    samples: list[Verdict | None] = [None] * len(replies)
    unread: list[tuple[int, Generated, str]] = []
    for position, reply in enumerate(replies):
        if not isinstance(reply, Generated):
            samples[position] = label_verdict(reply)
            continue
        reasoning = _reasoning(reply, template, settings)
        nothing = no_reasoning(reply.reasoning, reply.text, reply.finish, budget=budget)
        if nothing is not None:
            samples[position] = Verdict(
                None,
                explanation=reasoning.strip() or None,
                failure=nothing.reason,
                cut_tokens=reply.cut_tokens,
                usage=reply.usage,
            )
        elif reply.finish == "stop" and reply.reading is not None:
            # What the reading cost is in the reply's usage.
            verdict = label_verdict(reply.reading, reasoning.strip(), reply.usage)
            samples[position] = _with_cut(verdict, reply.cut_tokens)
        else:
            unread.append((position, reply, reasoning))

    if unread:
        closed = [
            prompts[position // settings.samples].then(*_closed(reply, reasoning, template))
            for position, reply, reasoning in unread
        ]
        readings = yield [ReadLabels(prompt, template.labels) for prompt in closed]
        for (position, reply, reasoning), reading in zip(unread, readings, strict=True):
            verdict = label_verdict(reading, reasoning.strip(), reading.usage + reply.usage)
            samples[position] = _with_cut(verdict, reply.cut_tokens)

    verdicts = [sample for sample in samples if sample is not None]
    size = settings.samples
    return [mean_verdict(verdicts[start : start + size]) for start in range(0, len(verdicts), size)]


def _reasoning(reply: Generated, template: Template, settings: Settings) -> str:
    """What was written before the verdict: in the text, apart from it, or both."""
    apart = reply.reasoning.strip()
    if reply.finish == "stop":
        # It ended by itself: nothing is cut.
        return joined_reasoning(apart, reply.text) or "" if apart else reply.text
    if apart and reply.text.strip():
        return apart  # the text is the answer behind it, which is read from the labels instead
    text = apart or reply.text
    if template.chat and reply.finish == "end":
        return text.strip()  # a chat model that said all it wanted to, only not its answer
    return cut_to_sentence(text) if settings.cut_to_sentence else text.strip()


def _closed(reply: Generated, reasoning: str, template: Template) -> tuple[Segment, Segment]:
    # The model's own words are no more to be trusted with special tokens than a passage.
    if reply.finish == "stop":
        return Segment(clean_text(reasoning), trusted=False, written=True), Segment(template.stop[0])
    text = clean_text(reasoning) if template.chat else f"\n{clean_text(reasoning)}"
    return Segment(text, trusted=False, written=True), Segment(template.close)


def label_verdict(
    reply: Reply,
    explanation: str | None = None,
    usage: Usage | None = None,
    score_of: Callable[[Sequence[float]], float | None] = probability,
) -> Verdict:
    """The verdict that a label reading gives about a document.

    Args:
        reply: the backend's reply to a `ReadLabels`.
        explanation: the reasoning before it.
        usage: what the verdict cost, with what was asked before it; default: what the reply cost.
        score_of: from the labels' logits to a score, or None where they give none.
    """
    usage = reply.usage if usage is None else usage
    if isinstance(reply, Failed):
        return Verdict(None, explanation=explanation, failure=reply.reason, usage=usage)
    if not isinstance(reply, LabelReading):
        raise TypeError(f"a backend replied to a request for labels with {type(reply).__name__}")
    stated = reply.probability if score_of is probability else None
    score = score_of(reply.logits) if stated is None else stated
    if score is None:
        reason = f"the label logits are {list(reply.logits)}, which give no probability"
        return Verdict(None, explanation=explanation, failure=reason, usage=usage)
    return Verdict(score, explanation=explanation, cut_tokens=reply.cut_tokens, usage=usage)


def _with_cut(verdict: Verdict, cut_tokens: int) -> Verdict:
    return verdict if cut_tokens <= verdict.cut_tokens else replace(verdict, cut_tokens=cut_tokens)


def mean_verdict(samples: Sequence[Verdict]) -> Verdict:
    """The mean score of the samples that have one; the others count as repairs.

    The reasoning is that of the sample nearest to the mean. All failed: the first failure.
    """
    if len(samples) == 1:
        return samples[0]
    usage = Usage.total(sample.usage for sample in samples)
    judged = [(sample, sample.score) for sample in samples if sample.score is not None]
    if not judged:
        return Verdict(None, explanation=samples[0].explanation, failure=samples[0].failure, usage=usage)
    mean = math.fsum(score for _, score in judged) / len(judged)
    nearest = min(judged, key=lambda pair: abs(pair[1] - mean))[0]
    return Verdict(
        mean,
        explanation=nearest.explanation,
        cut_tokens=max(sample.cut_tokens for sample in samples),
        repairs=len(samples) - len(judged),
        usage=usage,
    )
