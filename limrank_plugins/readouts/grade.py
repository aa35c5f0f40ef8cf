"""Grades by a rubric, each document on its own: expected from the labels' logits, or written as a number."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from limrank_plugins.backends.protocols import Generates, Program, ReadLabels, ReadsLabels
from limrank_plugins.data import Document, Query, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.prompts.each import prompt_each
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.completions import Completion, complete
from limrank_plugins.readouts.labels import without_tags
from limrank_plugins.readouts.parsing import joined_reasoning, parse_grade
from limrank_plugins.readouts.yes_no import label_verdict, mean_verdict
from limrank_plugins.segments import Prompt
from limrank_plugins.verdicts import Scores

# The lines between which Retro*'s prompt shows its query and its document.
_FENCE = re.compile(r"\[(\s{0,3}(?:begin|end)\s{1,3}of\s{1,3}(?:query|document)\s{0,3})\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ExpectedGrade:
    """The expected grade, sum of p_k · value_k, over the labels of a rubric: one forward pass, no text.

    Fine-grained relevance labels (arXiv 2310.14122 §3, "expected relevance"). The template lists the
    labels best first, and is given `levels`; the values are levels - 1, …, 1, 0. Scores are in
    [0, levels - 1] and comparable.

    Attributes:
        levels: how many of the template's labels are used. 2 is a plain yes-no.
    """

    levels: int = 5
    comparable: bool = True
    permutes: ClassVar[bool] = False
    is_pointwise: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Label logits."""
        return (ReadsLabels,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Grade each document; see `Readout.ask`."""
        if template is None or len(template.labels) < self.levels:
            raise InputError(f"a template with {self.levels} labels is needed, the best grade first")
        prompts = _prompts(query, documents, template, settings, levels=self.levels)
        labels = template.labels[: self.levels]
        replies = yield [ReadLabels(prompt, labels, ordered=True) for prompt in prompts]
        return Scores(tuple(label_verdict(reply, score_of=expected_grade) for reply in replies))


@dataclass(frozen=True, slots=True)
class GradingTask:
    """What a retrieval task is about, in the words of the template.

    Attributes:
        query_kind: what a query is.
        document_kind: what a document is.
        condition: a document is relevant to a query if …
    """

    query_kind: str = "query"
    document_kind: str = "document"
    condition: str = "the document can help answer the query"


ANY_TASK = GradingTask()
"""Nothing is known of it."""


@dataclass(frozen=True, slots=True)
class GenerateGrade:
    """The grade a model writes in `<score>` tags, mean of `samples` completions (Retro*, arXiv 2509.24869).

    The paper calls the mean "score integration". The last tag outside the reasoning is read; it must hold
    a plain number from 0 to `scale`. Any other completion is a failed sample, never a grade of 0 as in the
    released code: it counts as a repair where other samples were read, and fails the document where
    none was. Equal means stay in first-stage order.

    Attributes:
        scale: the highest grade.
        task: what queries and documents are, and when one of the others is relevant to one of the first.
    """

    scale: int = 100
    task: GradingTask = ANY_TASK
    comparable: bool = True
    permutes: ClassVar[bool] = False
    is_pointwise: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Text."""
        return (Generates,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Grade each document; see `Readout.ask`."""
        if template is None:
            raise InputError("a readout of written grades needs a template")
        prompts = _prompts(query, documents, template, settings, scale=self.scale, **asdict(self.task))
        size = settings.samples
        completions = yield from complete(prompts, template, settings, answer_tokens=24, draws=size)
        samples = [self._verdict(completion) for completion in completions]
        return Scores(
            tuple(mean_verdict(samples[start : start + size]) for start in range(0, len(samples), size))
        )

    def _verdict(self, completion: Completion) -> Verdict:
        cut, usage = completion.cut_tokens, completion.usage
        if completion.failure is not None:
            return Verdict(None, explanation=completion.reasoning, failure=completion.failure, usage=usage)
        reading = parse_grade(completion.text, self.scale)
        explanation = joined_reasoning(completion.apart, reading.before) or completion.reasoning
        if reading.grade is None:
            reason = f"the model wrote no score from 0 to {self.scale} in <score> tags"
            return Verdict(None, explanation=explanation, failure=reason, cut_tokens=cut, usage=usage)
        return Verdict(reading.grade, explanation=explanation, cut_tokens=cut, usage=usage)


def expected_grade(logits: Sequence[float]) -> float | None:
    """Expected grade of labels given best first: values n - 1, …, 0. None where a logit is NaN or +inf."""
    top = max(logits)
    if any(math.isnan(z) for z in logits) or math.isinf(top):
        return None
    weights = [math.exp(z - top) for z in logits]
    best = len(logits) - 1
    return math.fsum((best - i) * w for i, w in enumerate(weights)) / math.fsum(weights)


def _prompts(
    query: Query, documents: Sequence[Document], template: Template, settings: Settings, **names: Any
) -> list[Prompt]:
    """One prompt per document; neither it nor the query can write a tag or end its own place."""
    text = _neutral(instructed(query, settings.instruction))

    def render(passage: str, images: tuple[Image, ...]) -> Prompt:
        return template.render(text, [passage], query_images=query.images, images=[images], **names)

    return prompt_each(documents, [_neutral(template.passage.written(each)) for each in documents], render)


def _neutral(text: str) -> str:
    return _FENCE.sub(r"(\1)", without_tags(text))
