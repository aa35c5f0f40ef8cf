"""First-stage scores as InsertRank prints them (arXiv 2506.14086): on one scale for the whole list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError

Scale = Literal["none", "raw", "minmax_0_1", "minmax_0_100", "rank"]
SCALES: tuple[Scale, ...] = ("none", "raw", "minmax_0_1", "minmax_0_100", "rank")


# What a prior is called on each scale, how it is to be read, and its decimals.
_WORDS = {
    "none": ("retrieval score", "", 0),
    "raw": ("retrieval score", " (more is better)", 3),
    "minmax_0_1": ("retrieval score", " (0 is the lowest of the list, 1 the highest)", 3),
    "minmax_0_100": ("retrieval score", " (0 is the lowest of the list, 100 the highest)", 1),
    "rank": ("retrieval rank", " (1 is the best)", 0),
}


@dataclass(frozen=True, slots=True)
class PriorLines:
    """How priors are printed: what the template is given about them.

    Attributes:
        scale: the scale they are on.
        decimals: always so many, so that a score costs no more tokens than it is worth; default: 3
            (1 up to 100, none for ranks).
    """

    scale: Scale = "raw"
    decimals: int | None = None

    def __post_init__(self) -> None:
        _check(self.scale)
        if self.decimals is not None:
            whole_number("decimals", self.decimals, least=0, most=9)

    def names(self, documents: Sequence[Document]) -> dict[str, object]:
        """Names for the template: `priors` in the order of the documents, None where there is none."""
        name, note, usual = _WORDS[self.scale]
        digits = usual if self.decimals is None else self.decimals
        priors = [None if d.prior is None else f"{d.prior:.{digits}f}" for d in documents]
        return {"priors": priors, "prior_name": name, "prior_note": note}


@dataclass(frozen=True, slots=True)
class ScaledPriors:
    """Copies of documents whose priors are rescaled.

    It is done once per query, over all of its documents, so that a document shows one and the same
    number in every window. A document without a prior keeps none.

    Attributes:
        scale: `"none"` takes the priors away, `"raw"` leaves them as they are, `"minmax_0_1"` and
            `"minmax_0_100"` map the list's smallest to 0 and its largest to 1 or 100 (all to 0 where
            they are equal), `"rank"` is 1 for the largest; equal priors share a rank.
    """

    scale: Scale = "raw"

    def __post_init__(self) -> None:
        _check(self.scale)

    def __call__(self, documents: Sequence[Document]) -> list[Document]:
        """The copies, in the order of the documents."""
        priors = [document.prior for document in documents]
        return [
            document if prior == document.prior else replace(document, prior=prior)
            for document, prior in zip(documents, self.scaled(priors), strict=True)
        ]

    def scaled(self, priors: Sequence[float | None]) -> list[float | None]:
        """The priors on this scale."""
        known = [prior for prior in priors if prior is not None]
        if self.scale == "raw" or not known:
            return list(priors)
        if self.scale == "none":
            return [None] * len(priors)
        if self.scale == "rank":
            return [None if p is None else 1.0 + sum(other > p for other in known) for p in priors]
        top = 100.0 if self.scale == "minmax_0_100" else 1.0
        # Halved first: the difference of two large numbers of opposite sign would overflow.
        low, high = min(known) / 2, max(known) / 2
        width = high - low
        return [None if p is None else (top * ((p / 2 - low) / width) if width > 0 else 0.0) for p in priors]


def _check(scale: str) -> None:
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(SCALES)}, but got {scale!r}")
