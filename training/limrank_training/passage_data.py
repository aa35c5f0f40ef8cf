"""From a plan and a file of judged passages to examples."""

from __future__ import annotations

import os
from typing import Any

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_training.added_tokens import add_tokens
from limrank_training.data.passage_layout import PassageLayout
from limrank_training.data.passage_rows import read_passage_rows
from limrank_training.model_export import template_of
from limrank_training.plans import Plan
from limrank_training.training_data import TrainingData, base_tokenizer, end_token, lay_out


def prepare_passages(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Judged passages, one an example; see `training_data.prepare`."""
    template = template_of(plan)
    if len(template.labels) != 2:
        raise InputError(f"recipe {plan.recipe!r} has no prompt with two labels: choose another objective")
    if tokenizer is None:
        tokenizer = base_tokenizer(plan.base)
    new_tokens = add_tokens(tokenizer, plan.tokens if plan.reasoning or template.no_think else ())
    encoder = PromptEncoder(tokenizer)
    encoder.label_ids(template.labels, template.close if plan.reasoning else template.no_think)
    layout = PassageLayout(
        template,
        encoder,
        plan.cutoff,
        reasoning=plan.reasoning,
        learned=plan.learned,
        share=plan.share,
        end=end_token(tokenizer) if plan.end else None,
    )
    return lay_out(plan, rows, read_passage_rows(rows, traces=plan.reasoning), layout, tokenizer, new_tokens)
