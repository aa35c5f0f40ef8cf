"""P(true) / (P(true) + P(false)) at the verdict's position, with or without reasoning before it.

The score of LimRank and Rank1 (arXiv 2502.18418 §2): pointwise, in [0, 1], comparable across
queries. With z the logits at the position after `</think>`, it equals sigmoid(z_true - z_false).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from limrank_plugins.prompts import Intent, Template, instructed, intended
from limrank_plugins.readouts import Settings
from limrank_plugins.segments import Prompt, Segment, clean_text
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class YesNo:
    """Reads the verdict of every document on its own.

    Attributes:
        intent: what the query wants, said behind it; `"either"` says nothing: the trained prompt.
    """

    comparable: bool = True
    intent: Intent = "either"
    permutes: ClassVar[bool] = False

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Label logits always; text only where there is reasoning."""
        return (ReadsLabels,) if settings.reasoning == "none" else (Generates, ReadsLabels)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge each document; see `Readout.ask`."""
        if template is None or len(template.labels) != 2:
            raise InputError("a yes-no readout needs a template with two labels, the relevant one first")
        text = intended(instructed(query, settings.instruction), self.intent)
        prompts = [
            template.render(text, [document.passage], query_images=query.images, images=[document.images])
            for document in documents
        ]
        if settings.reasoning == "none":
            return Scores(tuple((yield from _read(prompts, template))))
        return Scores(tuple((yield from _think(prompts, template, settings))))


def probability(logits: Sequence[float]) -> float | None:
    """P(first label) among two labels, or None where a logit is NaN or both are infinite alike."""
    difference = logits[0] - logits[1]
    if math.isnan(difference):
        return None
    if difference >= 0:
        return 1.0 / (1.0 + math.exp(-difference))
    return math.exp(difference) / (1.0 + math.exp(difference))


def _read(prompts: list[Prompt], template: Template) -> Program[list[Verdict]]:
    said = template.no_think
    closed = [prompt.then(Segment(said)) if said else prompt for prompt in prompts]
    replies = yield [ReadLabels(prompt, template.labels) for prompt in closed]
    return [verdict(reply) for reply in replies]


def _think(prompts: list[Prompt], template: Template, settings: Settings) -> Program[list[Verdict]]:
    draws: list[Request] = [
        Generate(
            prompt,
            stop=template.stop,
            max_tokens=settings.max_reasoning_tokens,
            temperature=settings.drawn_temperature,
            top_p=settings.top_p,
            seed=settings.seed,
            sample=sample,
            labels=template.labels,
        )
        for prompt in prompts
        for sample in range(settings.samples)
    ]
    thoughts = yield draws
    samples: list[Verdict | None] = [None] * len(thoughts)
    unfinished: list[tuple[int, Generated, str]] = []
    for position, thought in enumerate(thoughts):
        if not isinstance(thought, Generated):
            samples[position] = verdict(thought)
        elif thought.finish == "stop" and thought.reading is not None:
            judged = verdict(thought.reading, thought.text.strip(), thought.usage)
            samples[position] = _with_cut(judged, thought.cut_tokens)
        elif thought.finish == "stop":
            # It ended by itself, but the backend did not read on: nothing is cut, its own end is put back.
            unfinished.append((position, thought, thought.text))
        else:
            text = cut_back(thought.text) if settings.cut_to_sentence else thought.text.strip()
            unfinished.append((position, thought, text))

    if unfinished:
        forced = [
            prompts[position // settings.samples].then(*_closed(thought, text, template))
            for position, thought, text in unfinished
        ]
        readings = yield [ReadLabels(prompt, template.labels) for prompt in forced]
        for (position, thought, text), reply in zip(unfinished, readings, strict=True):
            judged = verdict(reply, text.strip(), thought.usage)
            samples[position] = _with_cut(judged, thought.cut_tokens)

    done = [sample for sample in samples if sample is not None]
    size = settings.samples
    return [mean_of(done[start : start + size]) for start in range(0, len(done), size)]


def _closed(thought: Generated, text: str, template: Template) -> tuple[Segment, Segment]:
    # The model's own words are no more to be trusted with special tokens than a passage.
    if thought.finish == "stop":
        return Segment(clean_text(text), trusted=False), Segment(template.stop[0])
    return Segment(f"\n{clean_text(text)}" if text else "", trusted=False), Segment(template.close)


def verdict(
    reply: Reply,
    explanation: str | None = None,
    spent: Usage | None = None,
    score_of: Callable[[Sequence[float]], float | None] = probability,
) -> Verdict:
    """What a label reading says about a document.

    Args:
        reply: the backend's answer to a `ReadLabels`.
        explanation: the thought before it.
        spent: what the thought cost.
        score_of: from the labels' logits to a score, or None where they give none.
    """
    usage = reply.usage if spent is None else reply.usage + spent
    if isinstance(reply, Failed):
        return Verdict(None, explanation=explanation, failure=reply.reason, usage=usage)
    if not isinstance(reply, LabelReading):
        raise TypeError(f"a backend answered a label question with {type(reply).__name__}")
    score = score_of(reply.logits)
    if score is None:
        reason = f"the label logits are {list(reply.logits)}, which give no probability"
        return Verdict(None, explanation=explanation, failure=reason, usage=usage)
    return Verdict(score, explanation=explanation, cut_tokens=reply.cut_tokens, usage=usage)


def _with_cut(judged: Verdict, cut_tokens: int) -> Verdict:
    cut = max(judged.cut_tokens, cut_tokens)
    return Verdict(
        judged.score, judged.tie, judged.explanation, judged.failure, cut, judged.repairs, judged.usage
    )


def mean_of(samples: Sequence[Verdict]) -> Verdict:
    """The mean score of the samples that were judged; the others count as repairs.

    The explanation is that of the sample nearest to the mean. All failed: the first failure.
    """
    if len(samples) == 1:
        return samples[0]
    usage = Usage()
    for sample in samples:
        usage = usage + sample.usage
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


def cut_back(text: str) -> str:
    """The text up to its last sentence end (. ! ?); all of it where it has none, as in Rank1."""
    text = text.rstrip()
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1].strip() if end != -1 else text.strip()
