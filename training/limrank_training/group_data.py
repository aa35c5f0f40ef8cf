"""From a plan and a file of groups to examples: setwise, listwise, FIRST, graded passages, GRPO."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from limrank_plugins.backends.local.image_tokens import ImageTokenizer
from limrank_plugins.backends.local.loading import load_processor, loading
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.grade import ExpectedGrade
from limrank_plugins.recipes import Recipe, load_recipe
from limrank_training.data.group_layout import GroupExample, GroupLayout
from limrank_training.data.group_rows import read_graded, read_groups
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.data.passage_layout import report
from limrank_training.data.targets import template_for
from limrank_training.plans import Plan
from limrank_training.rewards.by_recipe import rewards_for
from limrank_training.training_data import TrainingData, base_tokenizer, end_token, is_dev
from limrank_training.vocabulary import add_tokens


def prepare_groups(
    plan: Plan,
    rows: str | os.PathLike[str],
    tokenizer: Any = None,
    on_progress: Callable[[int], None] | None = None,
) -> TrainingData:
    """Groups, one an example; see `training_data.prepare`.

    Raises:
        InputError: a group that is not as it should be or has no right answer, a recipe that the objective
            cannot train, a tokenizer that joins prompt and answer, or nothing left.
    """
    recipe = load_recipe(plan.recipe)
    template = template_for(recipe, plan.objective, plan.reasoning)
    if tokenizer is None:
        tokenizer = base_processor(plan.base) if sees(recipe) else base_tokenizer(plan.base)
    words = getattr(tokenizer, "tokenizer", tokenizer)
    new = add_tokens(words, plan.tokens)
    encoder = PromptEncoder(words)
    seeing = words is not tokenizer
    layout = GroupLayout(
        plan.objective,
        recipe,
        template,
        encoder,
        plan.cutoff,
        reasoning=plan.reasoning,
        end=end_token(words) if plan.end else None,
        least=plan.lists.least,
        processor=tokenizer if seeing else None,
        pictures=ImageTokenizer(tokenizer, encoder.prefix) if seeing else None,
    )
    made: dict[bool, list[GroupExample | None]] = {False: [], True: []}
    first: PassageGroup | None = None
    for number, group in enumerate(_groups(plan, recipe, rows), start=1):
        first = group if first is None else first
        made[is_dev(group.query, plan)].append(layout.example(group))
        if on_progress is not None and number % 1000 == 0:
            on_progress(number)
    examples = [example for example in made[False] if example is not None]
    if first is None or not examples:
        raise InputError(f"no group of {os.fspath(rows)} fits {plan.cutoff} tokens: raise the cutoff")
    return TrainingData(
        list(examples),
        [example for example in made[True] if example is not None],
        tokenizer,
        new,
        layout,
        first,
        {"train": report(made[False], plan.cutoff), "dev": report(made[True], plan.cutoff)},
    )


def sees(recipe: Recipe) -> bool:
    """Whether the recipe's model is one for pictures and text."""
    return recipe.backend == "vision"


def base_processor(base: str) -> Any:
    """The processor of a folder or a hub model that sees.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded.
    """
    with loading(base) as source:
        return load_processor(source)


def _groups(plan: Plan, recipe: Recipe, rows: str | os.PathLike[str]) -> Iterator[PassageGroup]:
    """The file's groups as they will be shown."""
    if isinstance(recipe.readout, ExpectedGrade):
        yield from read_graded(rows, recipe.readout.levels)
        return
    rewards = rewards_for(recipe) if plan.objective == "grpo" else {}
    for group in read_groups(rows):
        if plan.objective == "grpo" or not plan.reasoning:
            # A thought that is not learned must not keep the passages from being shuffled.
            group = replace(group, trace="")
        group = group.limited(plan.lists.size, plan.seed)
        if plan.lists.shuffle:
            group = group.shuffled(plan.seed)
        for reward in rewards.values():
            reward("", group)  # what a reward needs to know is found missing now, not after an hour
        yield group
