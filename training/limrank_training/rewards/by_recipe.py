"""Rewards as GRPO asks for them: an answer's text, and the group it is about.

A text is read as inference would read it: everything the model wrote up to the end of its turn, behind
what was put into its mouth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.readouts.select import GenerateSelect
from limrank_plugins.recipes import Recipe
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.rewards import released
from limrank_training.rewards.mm_r5 import images_format, images_reward
from limrank_training.rewards.rank_r1 import choice_reward
from limrank_training.rewards.reasonrank import order_reward

Reward = Callable[[str, PassageGroup], float]
"""What an answer about a group is worth.

Raises:
    InputError: the group does not say what is right; its line is named.
"""


def rewards_for(recipe: Recipe, form: Literal["ours", "released"] = "ours") -> dict[str, Reward]:
    """The rewards of a recipe's paper, by name; they are added up.

    Rank-R1: `choice`. ReasonRank and other orders of labels: `order`. MM-R5: `images` and `format`.

    Args:
        recipe: what is trained.
        form: `"ours"` is strict about the form of an answer, `"released"` is the papers' code.

    Raises:
        InputError: the recipe reads something no reward is about.
    """
    readout = recipe.readout
    by_release = form == "released"
    if isinstance(readout, GenerateSelect) and readout.tagged:
        choice = released.choice_reward if by_release else choice_reward
        return {
            "choice": lambda text, group: choice(text, group.chosen(), len(group.passages), readout.labels)
        }
    if isinstance(readout, GenerateOrder) and readout.tagged:
        if readout.labels.kind == "plain":
            images = released.images_reward if by_release else images_reward
            shape = released.images_format if by_release else images_format
            return {
                "images": lambda text, group: images(text, _relevant(group), len(group.passages)),
                "format": lambda text, group: shape(text, len(group.passages)),
            }
        if readout.labels.kind == "numeric":
            order = released.order_reward if by_release else order_reward
            return {
                "order": lambda text, group: order(
                    text,
                    group.grades or {group.best_first()[0]: 1.0},
                    group.best_first(),
                    len(group.passages),
                )
            }
    raise InputError(
        f"there is no reward for recipe {recipe.name!r}: GRPO trains rank-r1, reasonrank and mm-r5, whose "
        f"answers stand in tags"
    )


def completion_text(
    ids: Sequence[int], encoder: PromptEncoder, ends: Collection[int], start: str = ""
) -> str:
    """The text that the readout would be given for these tokens.

    Args:
        ids: what the model wrote, the token that ends its turn included where it got there.
        encoder: the tokenizer of inference.
        ends: the tokens that end a turn.
        start: what was put into its mouth.
    """
    kept = list(ids)
    if kept and kept[-1] in ends:
        kept.pop()
    return start + encoder.decode(kept)


def _relevant(group: PassageGroup) -> list[int]:
    relevant = [i for i, grade in group.grades.items() if grade > 0]
    if not relevant and group.gold is not None:
        relevant = [group.gold]
    if not relevant:
        raise InputError(f"{group.where}: no passage has a 'relevance' above 0, so nothing can be rewarded")
    return relevant
