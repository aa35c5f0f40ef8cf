"""Accuracies against counting by hand and the statistics' own functions."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from limrank_evals.comparison import Resampling
from limrank_evals.questions.accuracy import differences, score_all
from limrank_evals.questions.answering import AnswerRecord
from limrank_evals.stats import bootstrap, mcnemar, wilson
from limrank_plugins.errors import InputError

KEY = "B"


def given(condition: str, question: str, choices: str, **more: Any) -> list[AnswerRecord]:
    """Answers to one question, by the letters that were chosen: "-" is none, "!" a failure."""
    return [
        AnswerRecord(
            question,
            condition,
            sample,
            right=letter == KEY,
            said=letter if letter.isalpha() else None,
            choice=letter if letter.isalpha() else None,
            failure="no" if letter == "!" else None,
            sha256=None if letter == "!" else "0",
            **more,
        )
        for sample, letter in enumerate(choices)
    ]


@pytest.mark.parametrize(
    ("choices", "vote", "right"),
    [
        ("BBA", "B", True),
        ("AAB", "A", False),
        ("AB-", "A", False),  # of equals, the one that was chosen first
        ("BA-", "B", True),
        ("--B", "B", True),  # what chose nothing does not vote
        ("-!-", None, False),
        ("!!B", "B", True),
    ],
)
def test_votes(choices: str, vote: str | None, right: bool):
    (score,) = score_all(given("closed-book", "q", choices), {})
    (tally,) = score.tallies
    assert (tally.vote, tally.right) == (vote, right)
    assert tally.share == choices.count("B") / 3
    assert (score.unanswered, score.failed) == (choices.count("-"), choices.count("!"))


def test_one_sample_is_its_own_majority():
    answers = [one for i, letter in enumerate("BBA-!B") for one in given("closed-book", f"q{i}", letter)]
    (score,) = score_all(answers, {})
    assert score.mean == score.majority.accuracy == 3 / 6
    assert score.mean_interval == score.majority.interval == wilson(3, 6)
    assert score.letters == {"A": 1, "B": 3}


def test_several_samples():
    rows = {"q1": "BBB", "q2": "BBA", "q3": "AAB", "q4": "---"}
    (score,) = score_all(
        [one for q, row in rows.items() for one in given("rerank", q, row)], {}, Resampling(seed=3)
    )
    shares = [row.count("B") / 3 for row in rows.values()]
    assert score.mean == pytest.approx(sum(shares) / 4)
    assert score.mean_interval == bootstrap(shares, seed=3), "samples of a question are not independent"
    assert (score.majority.right, score.majority.total) == (2, 4)
    assert score.majority.interval == wilson(2, 4)
    assert score.samples == 3


def test_domains_in_their_order():
    answers = [one for i, letter in enumerate("BBAA") for one in given("rerank", f"q{i}", letter)]
    (score,) = score_all(answers, {"q0": "sky", "q1": "food", "q2": "food"})
    assert {name: (s.right, s.total) for name, s in score.domains.items()} == {
        "sky": (1, 1),
        "food": (1, 2),
        "(none)": (0, 1),
    }
    assert list(score.domains) == ["sky", "food", "(none)"]
    assert score.domains["food"].interval == wilson(1, 2)
    assert score_all(answers, {})[0].domains == {}


def test_differences_against_counting():
    luck = random.Random(4)
    rows = {c: {f"q{i}": luck.choice("AB") for i in range(40)} for c in ("closed-book", "retrieve", "rerank")}
    scores = score_all([one for c, row in rows.items() for q, x in row.items() for one in given(c, q, x)], {})
    found = differences(scores, Resampling(resamples=200))
    assert [(d.first, d.second) for d in found] == [
        ("closed-book", "retrieve"),
        ("closed-book", "rerank"),
        ("retrieve", "rerank"),
    ]
    for one in found:
        a, b = rows[one.first], rows[one.second]
        assert set(one.won) == {q for q in a if a[q] == "A" and b[q] == "B"}
        assert set(one.lost) == {q for q in a if a[q] == "B" and b[q] == "A"}
        assert one.p == mcnemar([x == "B" for x in a.values()], [x == "B" for x in b.values()])
        assert one.means.difference == pytest.approx((len(one.won) - len(one.lost)) / 40)


def test_the_judge_is_set_beside_the_extraction():
    opinions = {"q1": ("B", "yes"), "q2": ("B", "no"), "q3": ("-", "yes"), "q4": ("A", "no")}
    opinions |= {"q5": ("B", "unreadable"), "q6": ("B", "failed"), "q7": ("A", "no")}
    answers = [one for q, (x, v) in opinions.items() for one in given("rerank", q, x, verdict=v)]
    (score,) = score_all(answers, {})
    judge = score.judge
    assert judge is not None
    assert (judge.yes, judge.no, judge.unreadable, judge.failed) == (2, 3, 1, 1)
    assert (judge.agreed, judge.agreement, judge.accuracy) == (3, 3 / 5, 2 / 5)
    assert (judge.yes_alone, judge.no_alone) == (("q3",), ("q2",))
    assert score.majority.right == 4, "what the judge could not say is not held against an answer"
    assert score_all(given("rerank", "q", "B"), {})[0].judge is None
    (mute,) = score_all(given("rerank", "q", "B", verdict="failed"), {})
    assert mute.judge is not None
    assert mute.judge.accuracy is mute.judge.agreement is None


def test_denominators_are_never_smaller_than_the_set():
    luck = random.Random(5)
    for _ in range(50):
        rows = {f"q{i}": "".join(luck.choice("AB-!") for _ in range(3)) for i in range(luck.randint(1, 9))}
        (score,) = score_all([one for q, row in rows.items() for one in given("rerank", q, row)], {})
        counts = Counter("".join(rows.values()))
        assert score.majority.total == len(rows)
        assert score.mean == pytest.approx(counts["B"] / (3 * len(rows)))
        assert (score.unanswered, score.failed) == (counts["-"], counts["!"])


def test_answers_that_do_not_belong_together():
    with pytest.raises(InputError, match=r"as many answers as the others, but there are \[1, 2\]"):
        score_all([*given("rerank", "q1", "BB"), *given("rerank", "q2", "B")], {})
    scores = score_all([*given("retrieve", "q1", "B"), *given("rerank", "q2", "B")], {})
    with pytest.raises(InputError, match="not asked the same questions"):
        differences(scores)
