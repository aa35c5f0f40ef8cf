"""From answers to accuracies, their differences, and the judge beside the extraction.

Every question asked is in every denominator: an answer that chose nothing, or never came, is wrong, and
both are counted beside the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from limrank_evals.comparison import USUAL, Comparison, Resampling, compare_values
from limrank_evals.questions.answering import AnswerRecord
from limrank_evals.stats import Interval, mcnemar, wilson
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
        return sum(answer.right for answer in self.samples) / len(self.samples)


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
    answers: Iterable[AnswerRecord], domains: dict[str, str], resampling: Resampling = USUAL
) -> list[Score]:
    """Score the answers, condition by condition, in their order.

    Args:
        answers: by condition, question and sample, as `answer_all` gives them.
        domains: of questions, by id; "" for none.
        resampling: how intervals are made.

    Raises:
        InputError: a question has another number of answers than the others.
    """
    return [
        _score(condition, list(inside), domains, resampling)
        for condition, inside in groupby(answers, key=lambda answer: answer.condition)
    ]


def differences(scores: Sequence[Score], resampling: Resampling = USUAL) -> list[Difference]:
    """Every pair of conditions, the simpler one first.

    Raises:
        InputError: two were not asked the same questions.
    """
    return [_difference(a, b, resampling) for a, b in combinations(scores, 2)]


def _score(
    condition: str, answers: list[AnswerRecord], domains: dict[str, str], resampling: Resampling
) -> Score:
    tallies = tuple(_tally(question, tuple(of)) for question, of in groupby(answers, lambda a: a.question))
    counts = {len(tally.samples) for tally in tallies}
    if len(counts) != 1:
        raise InputError(
            f"every question needs as many answers as the others, but there are {sorted(counts)}"
        )
    samples = counts.pop()
    majority = _share(tallies, resampling.level)
    by_domain: dict[str, list[Tally]] = {}
    for tally in tallies:
        by_domain.setdefault(domains.get(tally.question, ""), []).append(tally)
    mean = resampling.mean([tally.share for tally in tallies])
    assert mean is not None
    letters = Counter(answer.said for answer in answers if answer.said is not None)
    return Score(
        condition,
        samples,
        tallies,
        majority,
        mean.mean,
        majority.interval if samples == 1 else mean.interval,
        unanswered=sum(answer.choice is None and not _failed(answer) for answer in answers),
        failed=sum(map(_failed, answers)),
        cut_short=sum(answer.ended == "length" for answer in answers),
        domains={name or "(none)": _share(of, resampling.level) for name, of in by_domain.items()}
        if any(by_domain)
        else {},
        letters=dict(sorted(letters.items())),
        judge=_judge_summary(answers),
    )


def _failed(answer: AnswerRecord) -> bool:
    return answer.sha256 is None


def _tally(question: str, samples: tuple[AnswerRecord, ...]) -> Tally:
    votes = Counter(answer.choice for answer in samples if answer.choice is not None)
    # most_common keeps the order of first appearance among equals.
    vote = votes.most_common(1)[0][0] if votes else None
    right = any(answer.right and answer.choice == vote for answer in samples)
    return Tally(question, samples, vote, right)


def _share(tallies: Sequence[Tally], level: float) -> Share:
    right = sum(tally.right for tally in tallies)
    return Share(right, len(tallies), wilson(right, len(tallies), level=level))


def _judge_summary(answers: Sequence[AnswerRecord]) -> JudgeSummary | None:
    counts = Counter(answer.verdict for answer in answers if answer.verdict is not None)
    if not counts:
        return None
    disagreements: dict[str, dict[str, None]] = {"yes": {}, "no": {}}
    agreed = 0
    for answer in answers:
        if answer.verdict in ("yes", "no"):
            agreed += (answer.verdict == "yes") == answer.right
            if (answer.verdict == "yes") != answer.right:
                disagreements[answer.verdict][answer.question] = None
    numbers = (counts["yes"], counts["no"], counts["unreadable"], counts["failed"], agreed)
    return JudgeSummary(*numbers, tuple(disagreements["yes"]), tuple(disagreements["no"]))


def _difference(a: Score, b: Score, resampling: Resampling) -> Difference:
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
            {t.question: t.share for t in a.tallies}, {t.question: t.share for t in b.tallies}, resampling
        ),
    )
