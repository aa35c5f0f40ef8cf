"""How likely the query is as a question about a passage: query likelihood (UPR, arXiv 2204.07496).

score = (1/|q|) · sum_t log P(q_t | passage, instruction, q_<t): the passage that the model would most
readily have asked this question about. The query stays whole whatever is cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from limrank_plugins.backends.protocols import Failed, Likelihood, Numbers, Program, ReadsLikelihood, Reply
from limrank_plugins.data import Document, Query, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.prompts.each import prompt_each
from limrank_plugins.readouts import Settings
from limrank_plugins.segments import clean_text
from limrank_plugins.verdicts import Scores


@dataclass(frozen=True, slots=True)
class QueryLikelihood:
    """Scores every document on its own by the log-likelihood of the query's tokens, in (-inf, 0].

    Another query has other tokens, so scores are not comparable across lists.

    Attributes:
        reduce: `"mean"` over the tokens, or their `"sum"`: the same order, as all documents of a list
            are asked the same query.
        ends: the end of the query counts as a token of it, as in UPR's released code for T5.
    """

    reduce: Literal["mean", "sum"] = "mean"
    ends: bool = False
    comparable: bool = False
    permutes: ClassVar[bool] = False
    is_pointwise: ClassVar[bool] = True

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Likelihoods."""
        return (ReadsLikelihood,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge each document; see `Readout.ask`."""
        if template is None:
            raise InputError("a readout of likelihoods needs a template")
        if query.images:
            # Words have a likelihood here, images none; they must not be left out silently.
            reason = "the query has an image, whose likelihood cannot be read: use a recipe for images"
            return Scores(tuple(Verdict(None, failure=reason) for _ in documents))
        # A word that follows on other words has a space before it.
        text = " " + clean_text(instructed(query, settings.instruction)).strip()
        passages = [template.passage.written(document) for document in documents]
        prompts = prompt_each(
            documents, passages, lambda passage, images: template.render("", [passage], images=[images])
        )
        replies = yield [Likelihood(prompt, text, self.ends) for prompt in prompts]
        return Scores(tuple(self._verdict(reply) for reply in replies))

    def _verdict(self, reply: Reply) -> Verdict:
        if isinstance(reply, Failed):
            return Verdict(None, failure=reply.reason, usage=reply.usage)
        if not isinstance(reply, Numbers):
            raise TypeError(f"a backend replied to a request for likelihoods with {type(reply).__name__}")
        total = math.fsum(reply.values)
        if not reply.values or not math.isfinite(total):
            reason = f"the log-probabilities of the query are {list(reply.values)}"
            return Verdict(None, failure=reason, usage=reply.usage)
        score = total / len(reply.values) if self.reduce == "mean" else total
        return Verdict(score, cut_tokens=reply.cut_tokens, usage=reply.usage)
