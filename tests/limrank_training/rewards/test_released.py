"""The papers' own rewards: numbers that their code gives, and where ours are stricter."""

from __future__ import annotations

import pytest

from limrank_plugins.recipes import load_recipe
from limrank_training.rewards import mm_r5, rank_r1, reasonrank, released
from limrank_training.rewards.by_recipe import rewards_for

RIGHT = "<think>t</think> <answer>{}</answer>"


@pytest.mark.parametrize(
    ("answer", "theirs", "ours"),
    [
        (RIGHT.format("[2] > [1] > [3]"), 1.3, 1.3),
        ("Well. " + RIGHT.format("[2] > [1] > [3]") + " Done.", 1.3, -1.0),
        (RIGHT.format("2, 1, 3"), 1.3, 0.0),
        (RIGHT.format("[2] > [1]"), 0.0, 0.0),
        (RIGHT.format("[2] > [2] > [3]"), 0.0, 0.0),
        (RIGHT.format("[2] > [1] > [0]"), 1.0 + 0.2 + 0.1 * (1 + 1 + 2 / 3) / 3, 0.0),
        ("<answer>[2] > [1] > [3]</answer>", -1.0, -1.0),
    ],
)
def test_reasonranks(answer: str, theirs: float, ours: float):
    """8421BCD/ReasonRank 06721fd, verl/utils/reward_score/ranking.py; also equal on 2,000 random answers."""
    grades, gold = {1: 1.0}, [1, 0, 2]
    assert released.order_reward(answer, grades, gold, 3) == pytest.approx(theirs)
    assert reasonrank.order_reward(answer, grades, gold, 3) == pytest.approx(ours)


def counted(size: int, count: int) -> str:
    return f"<think>t</think><answer>[{', '.join(str(i % size + 1) for i in range(count))}]</answer>"


@pytest.mark.parametrize(
    ("answer", "size", "theirs", "ours"),
    [
        (counted(5, 5), 5, 1.0, 1.0),
        (counted(5, 15), 5, -1.0, 1 / 3),
        (counted(7, 11), 7, 3 / 7, 7 / 11),
        ("x <think>a</think>\n<answer>[1,1,1,1,1,1,1,1,1,1]</answer> y", 7, 0.5714285714285714, 0.0),
        ("<think>t</think><answer>[9, 2, 2]</answer>", 5, 0.4, 0.2),
        ("<think>t</think><answer>[2]</answer>", 5, 0.0, 0.2),
        ("<think>t</think><answer>[01, 2]</answer>", 5, 0.0, 0.4),
    ],
)
def test_mm_r5s_format(answer: str, size: int, theirs: float, ours: float):
    """i2vec/MM-R5 0806019, open_r1/vlm_modules/qwen_module.py, format_rerank_reward."""
    assert released.images_format(answer, size) == pytest.approx(theirs)
    assert mm_r5.images_format(answer, size) == pytest.approx(ours)


def test_mm_r5s_order():
    """The same file, rerank_reward: the first answer in one line, reasoning or not."""
    assert released.images_reward("so <answer>[2, 1, 3]</answer>", [0], 3) == 0.125
    assert released.images_reward("<answer>[2]</answer> <answer>[1]</answer>", [0], 3) == 0.0
    assert released.images_reward("<answer>[1, x]</answer>", [0], 3) == 0.0
    assert mm_r5.images_reward("so <answer>[2, 1, 3]</answer>", [0], 3) == 0.0


def test_rank_r1s_choice():
    """ielab/llm-rankers b36517b, Rank-R1/train_grpo.py: the first answer, whatever stands around it."""
    chatty = f"Well. {RIGHT.format(' [2] ')} <answer>[1]</answer>"
    assert released.choice_reward(chatty, 1, 3) == 1.0
    assert rank_r1.choice_reward(chatty, 1, 3) == 0.0
    assert released.choice_reward("<answer>[2]</answer>", 1, 3) == 0.0


@pytest.mark.parametrize("recipe", ["rank-r1", "reasonrank", "mm-r5"])
def test_both_forms_have_the_same_names(recipe: str):
    ours, theirs = (rewards_for(load_recipe(recipe), form) for form in ("ours", "released"))
    assert list(ours) == list(theirs)
