"""From a plan and a file of groups to examples: setwise, listwise, FIRST, graded passages, GRPO."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from limrank_plugins.backends.local.image_tokens import ImageTokenizer
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.readouts.grade import ExpectedGrade
from limrank_plugins.recipes import Recipe, load_recipe
from limrank_training.added_tokens import add_tokens
from limrank_training.data.group_layout import GroupLayout
from limrank_training.data.group_rows import read_graded, read_groups
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.data.targets import template_for
from limrank_training.data.traces import group_trace
from limrank_training.plans import Plan
from limrank_training.rewards.by_recipe import rewards_for
from limrank_training.training_data import (
    TrainingData,
    base_processor,
    base_tokenizer,
    end_token,
    lay_out,
)


def prepare_groups(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Groups, one an example; see `training_data.prepare`.

    Raises:
        InputError: a group that is not as it should be or has no right answer, a recipe that the objective
            cannot train, a tokenizer that joins prompt and answer, or nothing left.
    """
    recipe = load_recipe(plan.recipe)
    template = template_for(recipe, plan.objective, plan.reasoning)
    if tokenizer is None:
        tokenizer = base_processor(plan.base) if recipe.backend == "vision" else base_tokenizer(plan.base)
    words = getattr(tokenizer, "tokenizer", tokenizer)
    sees_images = words is not tokenizer
    new_tokens = add_tokens(words, plan.tokens)
    encoder = PromptEncoder(words)
    layout = GroupLayout(
        plan.objective,
        recipe,
        template,
        encoder,
        plan.cutoff,
        reasoning=plan.reasoning,
        end=end_token(words) if plan.end else None,
        least=plan.lists.least,
        processor=tokenizer if sees_images else None,
        images=ImageTokenizer(tokenizer, encoder.prefix) if sees_images else None,
    )
    return lay_out(plan, rows, _groups(plan, recipe, rows), layout, tokenizer, new_tokens)


def _groups(plan: Plan, recipe: Recipe, rows: str | os.PathLike[str]) -> Iterator[PassageGroup]:
    """The file's groups as they will be shown."""
    if isinstance(recipe.readout, ExpectedGrade):
        yield from read_graded(rows, recipe.readout.levels)
        return
    rewards = rewards_for(recipe) if plan.objective == "grpo" else {}
    for group in read_groups(rows):
        if plan.objective == "grpo" or not plan.reasoning:
            # Reasoning that is not learned must not keep the passages from being shuffled.
            group = replace(group, trace="")
        elif group.trace:
            trace = group_trace(group)
            group = replace(group, trace=trace.text, repaired=trace.repaired)
        group = group.limited(plan.lists.size, plan.seed)
        if plan.lists.shuffle:
            group = group.shuffled(plan.seed)
        for reward in rewards.values():
            reward("", group)  # what a reward needs to know is found missing now, not after an hour
        yield group
