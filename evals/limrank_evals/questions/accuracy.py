"""From answers to accuracies, their differences, and the judge beside the extraction.

Every question asked is in every denominator: an answer that chose nothing, or never came, is wrong, and
both are counted beside the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from limrank_evals.comparison import Comparison, compare_values
from limrank_evals.questions.answering import AnswerRecord
from limrank_evals.stats import Interval, bootstrap, mcnemar, wilson
from limrank_evals.stats.intervals import RESAMPLES
from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class Tally:
    """One question in one condition.

    Attributes:
        question: its id.
        samples: its answers, by sample.
        vote: the option that most answers chose (unanswered ones do not vote, of equals the one that
            was chosen first wins), by its letter in the set; None where none was chosen.
        right: whether that is the right one.
    """

    question: str
    samples: tuple[AnswerRecord, ...]
    vote: str | None
    right: bool

    @property
    def share(self) -> float:
        """Of its answers that are right, in [0, 1]."""
        return sum(one.right for one in self.samples) / len(self.samples)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many were right, with Wilson's interval (None for none of none)."""

    right: int
    total: int
    interval: Interval | None

    @property
    def accuracy(self) -> float:
        """The share itself; 0 of 0 is 0."""
        return self.right / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """What the judge makes of one condition's answers.

    Attributes:
        yes, no: answers it called right and wrong.
        unreadable: answers about which it wrote neither yes nor no.
        failed: answers about which it could not be asked.
        agreed: of its yes and no, those that say what the extraction says.
        yes_alone: right by the judge, wrong by the extraction: look at these first.
        no_alone: the other way about.
    """

    yes: int
    no: int
    unreadable: int
    failed: int
    agreed: int
    yes_alone: tuple[str, ...]
    no_alone: tuple[str, ...]

    @property
    def verdicts(self) -> int:
        """How often it said yes or no; the denominator of both shares below."""
        return self.yes + self.no

    @property
    def accuracy(self) -> float | None:
        """The share of its verdicts that are yes; None without verdicts."""
        return self.yes / self.verdicts if self.verdicts else None

    @property
    def agreement(self) -> float | None:
        """The share of its verdicts that the extraction shares; None without verdicts."""
        return self.agreed / self.verdicts if self.verdicts else None


@dataclass(frozen=True, slots=True)
class Score:
    """One condition.

    Attributes:
        condition: its name.
        samples: how many answers there are to each question.
        tallies: its questions, in the set's order.
        majority: questions whose vote is right.
        mean: the share of right answers, averaged over questions: what one sample is worth.
        mean_interval: Wilson's for one sample, else by the bootstrap over questions, whose samples are
            not independent of each other.
        unanswered: answers that chose no option, or more than one.
        failed: answers that never came.
        cut_short: answers that their budget ended.
        domains: the majority's share by domain, in the set's order; empty where it has none.
        letters: how often each letter, as shown, was chosen: far from even, the reader prefers places.
        judge: a second opinion; None without a judge.
    """

    condition: str
    samples: int
    tallies: tuple[Tally, ...]
    majority: Share
    mean: float
    mean_interval: Interval | None
    unanswered: int
    failed: int
    cut_short: int
    domains: dict[str, Share]
    letters: dict[str, int]
    judge: JudgeSummary | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two conditions on the same questions; `second` is the fuller one.

    Attributes:
        first, second: their names.
        won: questions whose vote only the second has right; `lost` the other way about.
        p: McNemar's test of the votes.
        means: of the questions' shares of right answers.
    """

    first: str
    second: str
    won: tuple[str, ...]
    lost: tuple[str, ...]
    p: float | None
    means: Comparison


def score_all(
    answers: Iterable[AnswerRecord], domains: dict[str, str], *, seed: int = 0, level: float = 0.95
) -> list[Score]:
    """Score the answers, condition by condition, in their order.

    Args:
        answers: by condition, question and sample, as `answer_all` gives them.
        domains: of questions, by id; "" for none.
        seed: of the bootstrap.
        level: of the intervals.

    Raises:
        InputError: a question has another number of answers than the others.
    """
    return [
        _score(condition, list(given), domains, seed, level)
        for condition, given in groupby(answers, key=lambda one: one.condition)
    ]


def differences(
    scores: Sequence[Score], *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> list[Difference]:
    """Every pair of conditions, the simpler one first.

    Raises:
        InputError: two were not asked the same questions.
    """
    return [_difference(a, b, resamples, seed, level) for a, b in combinations(scores, 2)]


def _score(
    condition: str, given: list[AnswerRecord], domains: dict[str, str], seed: int, level: float
) -> Score:
    tallies = tuple(
        _tally(question, tuple(samples)) for question, samples in groupby(given, lambda g: g.question)
    )
    counts = {len(tally.samples) for tally in tallies}
    if len(counts) != 1:
        raise InputError(
            f"every question needs as many answers as the others, but there are {sorted(counts)}"
        )
    samples = counts.pop()
    shares = [tally.share for tally in tallies]
    majority = _share([tally.right for tally in tallies], level)
    named = dict.fromkeys(domains.get(tally.question, "") for tally in tallies)
    by_domain = {
        name: _share([t.right for t in tallies if domains.get(t.question, "") == name], level)
        for name in named
    }
    said = Counter(one.said for one in given if one.said is not None)
    return Score(
        condition,
        samples,
        tallies,
        majority,
        sum(shares) / len(shares),
        majority.interval if samples == 1 else bootstrap(shares, level=level, seed=seed),
        sum(one.choice is None and not _failed(one) for one in given),
        sum(map(_failed, given)),
        sum(one.ended == "length" for one in given),
        {name or "(none)": share for name, share in by_domain.items()} if any(named) else {},
        dict(sorted(said.items())),
        _judged(given),
    )


def _failed(one: AnswerRecord) -> bool:
    return one.sha256 is None


def _tally(question: str, samples: tuple[AnswerRecord, ...]) -> Tally:
    votes = Counter(one.choice for one in samples if one.choice is not None)
    # most_common keeps the order of first appearance among equals.
    vote = votes.most_common(1)[0][0] if votes else None
    right = any(one.right and one.choice == vote for one in samples)
    return Tally(question, samples, vote, right)


def _share(rights: Sequence[bool], level: float) -> Share:
    return Share(sum(rights), len(rights), wilson(sum(rights), len(rights), level=level))


def _judged(given: Sequence[AnswerRecord]) -> JudgeSummary | None:
    counts = Counter(one.verdict for one in given if one.verdict is not None)
    if not counts:
        return None
    said = [one for one in given if one.verdict in ("yes", "no")]

    def named(verdict: str, right: bool) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(one.question for one in said if one.verdict == verdict and one.right == right)
        )

    return JudgeSummary(
        counts["yes"],
        counts["no"],
        counts["unreadable"],
        counts["failed"],
        sum((one.verdict == "yes") == one.right for one in said),
        named("yes", False),
        named("no", True),
    )


def _difference(a: Score, b: Score, resamples: int, seed: int, level: float) -> Difference:
    if [t.question for t in a.tallies] != [t.question for t in b.tallies]:
        raise InputError(f"{a.condition} and {b.condition} were not asked the same questions")
    pairs = list(zip(a.tallies, b.tallies, strict=True))
    return Difference(
        a.condition,
        b.condition,
        tuple(y.question for x, y in pairs if y.right and not x.right),
        tuple(y.question for x, y in pairs if x.right and not y.right),
        mcnemar([t.right for t in a.tallies], [t.right for t in b.tallies]),
        compare_values(
            {t.question: t.share for t in a.tallies},
            {t.question: t.share for t in b.tallies},
            level=level,
            resamples=resamples,
            seed=seed,
        ),
    )
