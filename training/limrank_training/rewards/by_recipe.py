"""Rewards as GRPO asks for them: an answer's text, and the group it is about.

A text is read as inference would read it: everything the model wrote up to the end of its turn, behind
what was put into its mouth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.labels import Labels
from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.readouts.select import GenerateSelect
from limrank_plugins.recipes import Recipe
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.rewards.mm_r5 import images_format, images_reward
from limrank_training.rewards.rank_r1 import choice_reward
from limrank_training.rewards.reasonrank import order_reward

Reward = Callable[[str, PassageGroup], float]
"""What an answer about a group is worth.

Raises:
    InputError: the group does not say what is right; its line is named.
"""


def rewards_for(recipe: Recipe) -> dict[str, Reward]:
    """The rewards of a recipe's paper, by name; they are added up.

    Rank-R1: `choice`. ReasonRank and other orders of labels: `order`. MM-R5: `images` and `format`.

    Raises:
        InputError: the recipe reads something no reward is about.
    """
    readout = recipe.readout
    if isinstance(readout, GenerateSelect) and readout.tagged:
        labels = readout.labels
        return {"choice": lambda text, group: _choice(text, group, labels)}
    if isinstance(readout, GenerateOrder) and readout.tagged:
        if readout.labels.kind == "plain":
            return {"images": _images, "format": _format}
        if readout.labels.kind == "numeric":
            return {"order": _ordered}
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


def _choice(text: str, group: PassageGroup, labels: Labels) -> float:
    return choice_reward(text, group.chosen(), len(group.passages), labels)


def _ordered(text: str, group: PassageGroup) -> float:
    grades = group.grades or {group.best_first()[0]: 1.0}
    return order_reward(text, grades, group.best_first(), len(group.passages))


def _images(text: str, group: PassageGroup) -> float:
    relevant = [i for i, grade in group.grades.items() if grade > 0]
    if not relevant and group.gold is not None:
        relevant = [group.gold]
    if not relevant:
        raise InputError(f"{group.where}: no passage has a 'relevance' above 0, so nothing can be rewarded")
    return images_reward(text, relevant, len(group.passages))


def _format(text: str, group: PassageGroup) -> float:
    return images_format(text, len(group.passages))
