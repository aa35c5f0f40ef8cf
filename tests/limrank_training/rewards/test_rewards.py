"""Rewards: tables of right and wrong answers, and what a model that games them would try."""

from __future__ import annotations

import itertools

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_plugins.ndcg import ndcg
from limrank_training.rewards.answer_tags import tagged_answer
from limrank_training.rewards.mm_r5 import images_format, images_reward
from limrank_training.rewards.rank_r1 import choice_reward
from limrank_training.rewards.reasonrank import order_reward, rbo, recall_at


def think(answer: str) -> str:
    return f"<think>a thought</think>\n<answer>{answer}</answer>"


GAMED = [
    "<answer>[2]</answer>",  # no thought
    "<think>so [2]</think>[2]",  # no tags
    "<think>x</think><answer>[2]</answer><answer>[2]</answer>",  # two answers
    "<think><answer>[2]</answer></think>",  # inside the thought
    "<think>x</think><answer>[2]</answer> because I said so",
    "first <think>x</think><answer>[2]</answer>",
    "<think>x</think> words <answer>[2]</answer>",
    "<think>x<think>y</think><answer>[2]</answer>",
    "<think>x</think><answer>[2]",
    "<THINK>x</think><answer>[2] or [1]</answer>",
    "",
]


@pytest.mark.parametrize("text", GAMED)
def test_wrong_shapes_are_worth_nothing(text: str):
    assert choice_reward(text, 1, 5) == 0
    assert order_reward(text, {0: 1.0}, range(5), 5) in (-1.0, 0.0)
    assert (images_reward(text, [1], 5), images_format(text, 5)) == (0, 0)


def test_choices():
    assert choice_reward(think("[2]"), 1, 5) == 1
    assert choice_reward(think(" [2] "), 1, 5) == 1
    for wrong in ("[1]", "2", "[02]", "[0]", "[6]", "[2] ", "[2].", "[2] > [1]", "two", ""):
        expected = 1 if wrong.strip() == "[2]" else 0
        assert choice_reward(think(wrong), 1, 5) == expected, wrong
    with pytest.raises(InputError, match="gold"):
        choice_reward(think("[2]"), 5, 5)


def test_orders():
    gold, grades = [1, 0, 2], {1: 1.0}
    assert order_reward(think("[2] > [1] > [3]"), grades, gold, 3) == pytest.approx(1 + 0.2 + 0.1)
    assert order_reward("[2] > [1] > [3]", grades, gold, 3) == -1
    for wrong in (
        "[2] > [1]",
        "[2] > [2] > [3]",
        "[0] > [1] > [2]",
        "[2] > [1] > [4]",
        "2 > 1 > 3",
        "[2], [1], [3]",
    ):
        assert order_reward(think(wrong), grades, gold, 3) == 0, wrong
    second = order_reward(think("[1] > [2] > [3]"), grades, gold, 3)
    third = order_reward(think("[1] > [3] > [2]"), grades, gold, 3)
    assert 1.3 > second > third > 0
    with pytest.raises(InputError, match="gold"):
        order_reward(think("[1]"), grades, [0, 0], 2)


@given(st.permutations(range(6)), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_ndcg_and_recall_are_ir_measures(order: list[int], given_grades: list[int]):
    grades = {i: float(grade) for i, grade in enumerate(given_grades)}
    qrels = [ir_measures.Qrel("q", str(i), int(grade)) for i, grade in grades.items()]
    run = [ir_measures.ScoredDoc("q", str(i), float(-place)) for place, i in enumerate(order)]
    measured = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.R @ 3], qrels, run)
    assert ndcg([grades[i] for i in order]) == pytest.approx(measured[ir_measures.nDCG @ 10], abs=1e-9)
    assert recall_at(order, grades, 3) == pytest.approx(measured[ir_measures.R @ 3], abs=1e-9)


@given(st.permutations(range(5)), st.permutations(range(5)), st.sampled_from([0.5, 0.9, 1.0]))
def test_rank_biased_overlap(one: list[int], other: list[int], p: float):
    found = rbo(one, other, p)
    assert 0 <= found <= 1 + 1e-12
    assert found == pytest.approx(rbo(other, one, p))
    assert rbo(one, one, p) == pytest.approx(1)
    if p == 1:
        shares = [len(set(one[:d]) & set(other[:d])) / d for d in range(1, 6)]
        assert found == pytest.approx(sum(shares) / 5)


def test_rbo_known_value_and_bad_input():
    assert rbo([0, 1, 2, 3, 4], [1, 0, 2, 3, 4]) == pytest.approx((0 + 1 + 1 + 1 + 1) / 5)
    for p in (0.0, 1.5):
        with pytest.raises(InputError, match="p="):
            rbo([0], [0], p)


def test_images():
    assert images_reward(think("[1, 2, 3]"), [0], 3) == 1
    assert images_reward(think("[2, 1, 3]"), [0], 3) == pytest.approx(1 / 8)
    assert images_reward(think("[2, 3, 1]"), [0], 3) == pytest.approx(1 / 27)
    assert images_reward(think("[2, 3]"), [0], 3) == 0
    assert images_format(think("[1, 2, 3]"), 3) == 1
    assert images_format(think("[1, 2]"), 3) == pytest.approx(2 / 3)
    assert images_format(think("[2, 2, 2, 2, 2]"), 5) == pytest.approx(1 / 5), "released: 1.0"
    assert images_format(think("[0, 1, 2, 3, 4]"), 3) == pytest.approx(3 / 5)
    assert images_format(think("[]"), 3) == 0
    with pytest.raises(InputError, match="relevant"):
        images_reward(think("[1]"), [], 3)


@pytest.mark.parametrize("relevant", [[0], [0, 2], [1, 2, 3]])
def test_images_reward_is_one_only_where_the_relevant_lead_and_grows_upwards(relevant: list[int]):
    for order in itertools.permutations(range(4)):
        reward = images_reward(think(f"[{', '.join(str(i + 1) for i in order)}]"), relevant, 4)
        leads = set(order[: len(relevant)]) == set(relevant)
        assert (reward == pytest.approx(1)) == leads
        for place in range(3):
            if order[place] not in relevant and order[place + 1] in relevant:
                swapped = [*order]
                swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
                better = images_reward(think(f"[{', '.join(str(i + 1) for i in swapped)}]"), relevant, 4)
                assert better > reward


@given(st.text(max_size=60))
def test_any_text_has_a_reward(text: str):
    for said in (text, think(text)):
        assert choice_reward(said, 0, 3) in (0.0, 1.0)
        assert -1 <= order_reward(said, {0: 1.0}, [0, 1, 2], 3) <= 1.3 + 1e-9
        assert 0 <= images_reward(said, [0], 3) <= 1
        assert 0 <= images_format(said, 3) <= 1
    assert tagged_answer(text) is None or "answer" in text.lower()
