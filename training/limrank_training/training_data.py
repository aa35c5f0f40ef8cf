"""From a plan and a file of rows to examples; what is wrong is found before weights are loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.local.loading import loading, pretrained
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_training.data.group_layout import GroupLayout
from limrank_training.data.image_layout import ImageLayout
from limrank_training.data.image_rows import ImageRow
from limrank_training.data.passage_groups import PassageGroup
from limrank_training.data.passage_layout import Example, PassageLayout, report
from limrank_training.data.passage_rows import PassageRow, read_passage_rows
from limrank_training.model_export import template_of
from limrank_training.model_licences import data_licences
from limrank_training.objectives import load_objective
from limrank_training.plans import Plan
from limrank_training.vocabulary import add_tokens


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is trained on.

    Attributes:
        examples, dev: rows that fit, by the plan's share of queries.
        tokenizer: with the plan's tokens; of a model that sees, its processor.
        new_tokens: those it did not have before.
        layout: how rows became examples.
        first: the first row, for showing.
        report: counts and lengths, by split; and the licences of what went into the rows.
    """

    examples: list[Example]
    dev: list[Example]
    tokenizer: Any
    new_tokens: list[str]
    layout: PassageLayout | GroupLayout | ImageLayout
    first: PassageRow | PassageGroup | ImageRow
    report: dict[str, Any]


def prepare(
    plan: Plan,
    rows: str | os.PathLike[str],
    tokenizer: Any = None,
    on_progress: Callable[[int], None] | None = None,
) -> TrainingData:
    """Read, check and tokenise what the plan's objective learns.

    Args:
        plan: see there.
        rows: a file, as `read_passage_rows` takes it, `read_graded` for `"graded"`, or `read_groups`.
        tokenizer: default: that of the plan's base.
        on_progress: called with the number of rows after every 1,000.

    Raises:
        InputError: a row that is not as it should be, labels that are not one token each, or nothing left.
    """
    made: TrainingData = load_objective(plan.objective).prepare(plan, rows, tokenizer, on_progress)
    made.report["licences"] = data_licences(rows) or "not stated"
    return made


def prepare_rows(
    plan: Plan,
    rows: str | os.PathLike[str],
    tokenizer: Any = None,
    on_progress: Callable[[int], None] | None = None,
) -> TrainingData:
    """Judged passages, one an example; see `prepare`."""
    template = template_of(plan)
    if len(template.labels) != 2:
        raise InputError(f"recipe {plan.recipe!r} has no prompt with two labels: choose another objective")
    if tokenizer is None:
        tokenizer = base_tokenizer(plan.base)
    new = add_tokens(tokenizer, plan.tokens if plan.reasoning or template.no_think else ())
    encoder = PromptEncoder(tokenizer)
    encoder.label_ids(template.labels, template.close if plan.reasoning else template.no_think)
    end = end_token(tokenizer) if plan.end else None
    layout = PassageLayout(
        template,
        encoder,
        plan.cutoff,
        reasoning=plan.reasoning,
        learned=plan.learned,
        share=plan.share,
        end=end,
    )
    made: dict[bool, list[Example | None]] = {False: [], True: []}
    first: PassageRow | None = None
    for number, row in enumerate(read_passage_rows(rows, traces=plan.reasoning), start=1):
        first = row if first is None else first
        made[is_dev(row.query, plan)].append(layout.example(row))
        if on_progress is not None and number % 1000 == 0:
            on_progress(number)
    examples = [example for example in made[False] if example is not None]
    if first is None or not examples:
        raise InputError(
            f"no row of {os.fspath(rows)} fits {plan.cutoff} tokens with its verdict: raise the cutoff"
        )
    return TrainingData(
        examples,
        [example for example in made[True] if example is not None],
        tokenizer,
        new,
        layout,
        first,
        {"train": report(made[False], plan.cutoff), "dev": report(made[True], plan.cutoff)},
    )


def base_tokenizer(base: str) -> Any:
    """The tokenizer of a folder or a hub model.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded.
    """
    with loading(base) as source:
        return pretrained("AutoTokenizer", source, extra="training")


def is_dev(query: str, plan: Plan) -> bool:
    """Whole queries are kept out, so that no passage of a dev query is learned from."""
    digest = hashlib.sha256(f"{plan.seed}:{query}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < plan.dev


def end_token(tokenizer: Any) -> int:
    """The token that ends an answer.

    Raises:
        InputError: there is none.
    """
    if tokenizer.eos_token_id is None:
        raise InputError("the plan learns the end of the answer, but the tokenizer has no end-of-text token")
    return int(tokenizer.eos_token_id)
