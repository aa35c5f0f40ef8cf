"""The tables of plans that train encoders and models that see."""

from __future__ import annotations

from dataclasses import dataclass

from limrank_plugins.errors import InputError
from limrank_training.plans.tables import not_negative, positive


@dataclass(frozen=True, slots=True)
class ContrastSettings:
    """A query's positive against its own hard negatives and all other documents of the batch (InfoNCE).

    Attributes:
        group: documents of each query: its positive and its own negatives; 2 at least.
        temperature: scores are divided by it.
        query: with `"tildev2"`, tokens of a query that are read, its two special ones included.
        passage: with `"tildev2"`, tokens of a passage that are read.
        expansion: with `"tildev2"`, folder or hub name of a TILDE whose tokens are put behind passages, as
            the index will have them; None: none.
        top: how many tokens the expansion looks at.
        near: with `"mm-embed"`, the rank below which a candidate of the right kind is a hard negative.
    """

    group: int = 8
    temperature: float = 1.0
    query: int = 16
    passage: int = 192
    expansion: str | None = None
    top: int = 200
    near: int = 45

    def __post_init__(self) -> None:
        if self.group < 2:
            raise InputError(f"contrast.group must be at least 2, but is {self.group!r}")
        positive("contrast.temperature", self.temperature)
        if self.query < 3:
            raise InputError(f"contrast.query must be at least 3 tokens, but is {self.query!r}")
        for name in ("passage", "top", "near"):
            positive(f"contrast.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """PPO over labels (arXiv 2508.07662), after the supervised epochs: each label is an action.

    Attributes:
        iterations: steps taken with the same drawn labels.
        clip: of the ratio of new to old probabilities.
        kl: weight of the distance to the model before this stage.
        entropy: weight of the policy's entropy.
        draws: sets of labels drawn for each row; a draw is as good as its F1 less the row's mean.
        rate, head: learning rates of encoder and head.
        epochs, batch, part: as in `OptimiserSettings`.
    """

    iterations: int = 2
    clip: float = 0.2
    kl: float = 0.1
    entropy: float = 0.0
    draws: int = 8
    rate: float = 2e-6
    head: float = 3e-6
    epochs: float = 1.0
    batch: int = 32
    part: int = 8

    def __post_init__(self) -> None:
        for name in ("iterations", "clip", "rate", "head", "epochs", "batch", "part"):
            positive(f"classes.policy.{name}", getattr(self, name))
        for name in ("kl", "entropy"):
            not_negative(f"classes.policy.{name}", getattr(self, name))
        if self.draws < 2:
            raise InputError(f"classes.policy.draws must be at least 2, but is {self.draws!r}")
        if self.batch % self.part:
            raise InputError("classes.policy.batch must be a multiple of classes.policy.part")


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Labels that fit a text or do not (GLiClass).

    Attributes:
        most: labels shown with a text; of more, those that fit stay and others are drawn.
        gamma: of the focal loss; 0 is plain cross-entropy.
        alpha: weight of labels that fit, 1 - alpha that of the others; None: 1 for both.
        policy: a second stage of reinforcement learning; None: none.
    """

    most: int = 25
    gamma: float = 0.0
    alpha: float | None = None
    policy: PolicySettings | None = None

    def __post_init__(self) -> None:
        positive("classes.most", self.most)
        not_negative("classes.gamma", self.gamma)
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise InputError(f"classes.alpha must be in [0, 1], but is {self.alpha!r}")


@dataclass(frozen=True, slots=True)
class PairSettings:
    """A query and a passage read together, relevant or not (cross-encoders).

    Attributes:
        negatives: for each positive; those of the file first, then passages of other queries.
        query: most tokens of a query.
        passage: most tokens of a passage.
        warmup: steps in which the rate rises, whatever the share says; None: the optimiser's share.
    """

    negatives: int = 4
    query: int = 70
    passage: int = 350
    warmup: int | None = None

    def __post_init__(self) -> None:
        not_negative("pairs.negatives", self.negatives)
        for name in ("query", "passage"):
            positive(f"pairs.{name}", getattr(self, name))
        if self.warmup is not None:
            not_negative("pairs.warmup", self.warmup)


@dataclass(frozen=True, slots=True)
class NoiseSettings:
    """Tokens weighted by what they lose where the picture is noised (RagVL, arXiv 2407.21439).

    Attributes:
        step: of the diffusion, from 1 to steps.
        steps: of the whole diffusion, whose variances rise linearly from 1e-4 to .02.
        least, most: weights are clamped to these.
    """

    step: int = 500
    steps: int = 1000
    least: float = 1.0
    most: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.step <= self.steps:
            raise InputError(f"noise.step must be from 1 to {self.steps}, but is {self.step!r}")
        if not 0 < self.least <= self.most:
            raise InputError(f"noise needs 0 < least <= most, but has {self.least!r} and {self.most!r}")
