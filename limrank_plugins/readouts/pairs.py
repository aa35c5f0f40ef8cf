"""One number for every pair of query and passage: cross-encoders, TILDEv2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

from limrank_plugins.backends.protocols import (
    Backend,
    Failed,
    Numbers,
    Program,
    Reply,
    ScorePair,
    ScoresPairs,
)
from limrank_plugins.data import Document, Query, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, instructed
from limrank_plugins.readouts import Settings
from limrank_plugins.segments import clean_text
from limrank_plugins.verdicts import Scores

Activation = Literal["none", "sigmoid"]
Activations = Literal["none", "sigmoid", "model"]


@dataclass(frozen=True, slots=True)
class PairScore:
    """The backend's number for each pair, as it is or through the logistic function.

    Attributes:
        activation: `"none"` keeps the number; `"sigmoid"` makes a probability of a logit. Where
            probabilities are equal because they are rounded to 1, the logit breaks the tie. `"model"` is
            what the model's own configuration says, once it is loaded: see `of_backend`.
        comparable: whether the numbers of two queries may be compared. A pair's number never depends on
            the other documents; this says whether the model was trained to mean the same by it.
        probability: the backend's number is said to be a probability: one outside [0, 1] is a failure. It
            changes no number, and so is no part of what names stored answers and calibrations.
    """

    activation: Activations = "none"
    comparable: bool = True
    probability: bool = field(default=False, repr=False)
    permutes: ClassVar[bool] = False
    is_pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_activation(self.activation, get_args(Activations))

    def of_backend(self, backend: Backend) -> PairScore:
        """This readout with the activation of the backend's model, where that decides; "none" if it has none.

        Raises:
            InputError: the model has one that is not known here.
        """
        if self.activation != "model":
            return self
        own = getattr(backend, "activation", "none")
        if own not in get_args(Activation):
            raise InputError(
                f"the model's configuration makes scores of its numbers with {own}, which is not known here: "
                f"give activation=none or activation=sigmoid, as in cross-encoder:activation=none"
            )
        return replace(self, activation="sigmoid" if own == "sigmoid" else "none")

    def needs(self, settings: Settings) -> tuple[type[Any], ...]:
        """Scores of pairs."""
        return (ScoresPairs,)

    def ask(
        self, query: Query, documents: Sequence[Document], template: Template | None, settings: Settings
    ) -> Program[Scores]:
        """Judge each document; see `Readout.ask`. One with an image, or any if the query has one, fails."""
        blind = [unseen(query, document) for document in documents]
        text = clean_text(instructed(query, settings.instruction))
        replies = iter(
            (
                yield [
                    ScorePair(text, clean_text(document.passage))
                    for document, reason in zip(documents, blind, strict=True)
                    if reason is None
                ]
            )
        )
        return Scores(
            tuple(
                self._verdict(next(replies)) if reason is None else Verdict(None, failure=reason)
                for reason in blind
            )
        )

    def _verdict(self, reply: Reply) -> Verdict:
        if isinstance(reply, Failed):
            return Verdict(None, failure=reply.reason, usage=reply.usage)
        if not isinstance(reply, Numbers):
            raise TypeError(f"a backend replied to a request for pair scores with {type(reply).__name__}")
        value = reply.values[0]
        if self.probability and math.isfinite(value) and not 0 <= value <= 1:
            return Verdict(
                None,
                failure=f"the score is {value:g}, which is no probability: give scores=logit or "
                f"scores=relevance, whichever the model's scores are",
                usage=reply.usage,
            )
        return activated(value, "sigmoid" if self.activation == "sigmoid" else "none", reply)


def check_activation(activation: str, known: Sequence[str] = get_args(Activation)) -> None:
    """Raise an `InputError` for an activation that is none of those known."""
    if activation not in known:
        *others, last = map(repr, known)
        raise InputError(f"activation must be {', '.join(others)} or {last}, but got {activation!r}")


def activated(value: float, activation: Activation, reply: Numbers) -> Verdict:
    """The verdict this number is; one that is not finite is a failure."""
    if not math.isfinite(value):
        return Verdict(None, failure=f"the score is {value}", usage=reply.usage)
    if activation == "none":
        return Verdict(value, cut_tokens=reply.cut_tokens, usage=reply.usage)
    return Verdict(sigmoid(value), tie=value, cut_tokens=reply.cut_tokens, usage=reply.usage)


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), without overflow."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))


def unseen(query: Query, document: Document) -> str | None:
    """Why a model of texts cannot judge this document, or None."""
    if not query.images and not document.images:
        return None
    whose = "the query" if query.images else "the document"
    return f"{whose} has an image, which this recipe's model cannot see: use a recipe for images"
