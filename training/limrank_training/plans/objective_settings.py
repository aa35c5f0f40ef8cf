"""The tables of a plan that belong to one objective each, or to two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class FirstSettings:
    """What FIRST (arXiv 2406.15657) adds to the likelihood of an order.

    Attributes:
        weighted: RankNet's pairs by 1 / (sum of ranks).
        weight: of the loss over the labels' logits; the likelihood has 1. None: as released, 10 for weighted
            RankNet, .1 for ListNet, 1 for any other.
    """

    weighted: bool = True
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.weight is not None:
            finite_number("joint.weight", self.weight, least=0)


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """How a teacher's scores become the logits that a student learns (log P(relevant) - log P(not)).

    Attributes:
        scale: `"none"`: they are logits; `"logit"`: they are probabilities p, taken as log(p / (1 - p));
            `"zscore"`: over the file they are given mean 0 and the standard deviation `sd`.
        sd: with `"zscore"`. At 2 a passage one standard deviation above the mean gets P(relevant) = .88.
        epsilon: with `"logit"`, probabilities are kept so far from 0 and 1, whose logits are infinite.
    """

    scale: Literal["none", "logit", "zscore"] = "none"
    sd: float = 2.0
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        finite_number("teacher.sd", self.sd, above=0)
        finite_number("teacher.epsilon", self.epsilon, least=1e-12, most=0.1)


@dataclass(frozen=True, slots=True)
class QlmSettings:
    """How the query's likelihood is learned behind a query's passages.

    Attributes:
        scale: the scores that are compared are the mean log-probabilities of the query's tokens times this: a
            passage that makes them .1 likelier is 1 better at 10.
        weighted: RankNet's pairs by 1 / (sum of ranks).
        likelihood: weight of the loss of likelihood itself, of the query behind its best passages; the
            ranking loss has 1.
    """

    scale: float = 10.0
    weighted: bool = False
    likelihood: float = 0.1

    def __post_init__(self) -> None:
        finite_number("qlm.scale", self.scale, above=0)
        finite_number("qlm.likelihood", self.likelihood, least=0)


@dataclass(frozen=True, slots=True)
class GrpoSettings:
    """Group-relative policy optimisation (arXiv 2402.03300), by trl.

    All that trl has a default for is here or set in `limrank_training.grpo`: its defaults have changed
    more than once since the papers.

    Attributes:
        generations: completions of each prompt, at least 2.
        completion: most tokens of an answer; a longer one is cut off and judged as it is.
        temperature, top_p, top_k: of the sampling; top_k 0: all tokens.
        beta: weight of the divergence from the model before training; 0: none, and no such model is held.
        loss: how tokens are averaged: `"grpo"` within each answer, then over answers; `"bnpo"` over all
            tokens of a part; `"dapo"` over all tokens of a step; `"dr_grpo"` over a constant.
        scale: rewards are divided by their standard deviation in the `"group"`, in the `"batch"`, or not
            (`"none"`).
        epsilon: the ratio is clipped to [1 - epsilon, 1 + epsilon].
        epsilon_high: the upper one, where it is another.
        iterations: passes over each batch of answers.
        ahead: steps whose answers are written at once, before the first of them.
        importance: ratios by `"token"` or by `"sequence"`.
        mask_truncated: do not learn from answers that were cut off.
        corrected_kl: weigh the divergence by the ratio (DeepSeek-V3.2); trl does so today, no paper here did.
        weights: of the recipe's rewards, in their order; empty: 1 each.
        rewards: `"ours"` gives nothing for what inference would not read as it is; `"released"` is what the
            papers' code gives, which a model can please by less (docs/training.md).
        vllm: write answers with vLLM in the same processes, which must be installed.
    """

    generations: int = 8
    completion: int = 2048
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    beta: float = 0.04
    loss: Literal["grpo", "bnpo", "dapo", "dr_grpo"] = "grpo"
    scale: Literal["group", "batch", "none"] = "group"
    epsilon: float = 0.2
    epsilon_high: float | None = None
    iterations: int = 1
    ahead: int = 1
    importance: Literal["token", "sequence"] = "token"
    mask_truncated: bool = False
    corrected_kl: bool = False
    weights: tuple[float, ...] = ()
    rewards: Literal["ours", "released"] = "ours"
    vllm: bool = False

    def __post_init__(self) -> None:
        whole_number("grpo.generations", self.generations, least=2)
        for name in ("completion", "iterations", "ahead"):
            whole_number(f"grpo.{name}", getattr(self, name), least=1)
        for name in ("temperature", "epsilon"):
            finite_number(f"grpo.{name}", getattr(self, name), above=0)
        finite_number("grpo.top_p", self.top_p, above=0, most=1)
        whole_number("grpo.top_k", self.top_k, least=0)
        finite_number("grpo.beta", self.beta, least=0)


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
        whole_number("contrast.group", self.group, least=2)
        finite_number("contrast.temperature", self.temperature, above=0)
        whole_number("contrast.query", self.query, least=3)
        for name in ("passage", "top", "near"):
            whole_number(f"contrast.{name}", getattr(self, name), least=1)


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
        for name in ("iterations", "batch", "part"):
            whole_number(f"classes.policy.{name}", getattr(self, name), least=1)
        for name in ("clip", "rate", "head", "epochs"):
            finite_number(f"classes.policy.{name}", getattr(self, name), above=0)
        for name in ("kl", "entropy"):
            finite_number(f"classes.policy.{name}", getattr(self, name), least=0)
        whole_number("classes.policy.draws", self.draws, least=2)
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
        whole_number("classes.most", self.most, least=1)
        finite_number("classes.gamma", self.gamma, least=0)
        if self.alpha is not None:
            finite_number("classes.alpha", self.alpha, least=0, most=1)


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
        whole_number("pairs.negatives", self.negatives, least=0)
        for name in ("query", "passage"):
            whole_number(f"pairs.{name}", getattr(self, name), least=1)
        if self.warmup is not None:
            whole_number("pairs.warmup", self.warmup, least=0)


@dataclass(frozen=True, slots=True)
class NoiseSettings:
    """Tokens weighted by what they lose where the image is noised (RagVL, arXiv 2407.21439).

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
        whole_number("noise.step", self.step, least=1, most=self.steps)
        if not 0 < self.least <= self.most:
            raise InputError(f"noise needs 0 < least <= most, but has {self.least!r} and {self.most!r}")
