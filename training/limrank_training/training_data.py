"""From a plan and a file to the examples of a run; what is wrong is found before weights are loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from limrank_plugins.backends.local.loading import load_processor, loading, pretrained
from limrank_plugins.errors import InputError
from limrank_training.data.passage_layout import report
from limrank_training.model_licences import data_licences
from limrank_training.objectives import OBJECTIVES
from limrank_training.plans import Plan


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is trained on.

    Attributes:
        examples, dev: by the plan's share of queries.
        tokenizer: with the plan's tokens; of a model that sees images, its processor.
        layout: how rows became examples; for encoders, an `ExampleView`.
        first: the first row of the file, for encoders the first example; for showing.
        report: counts and lengths, by split; and the licences of what went into the rows.
        new_tokens: those that the base's tokenizer did not have.
    """

    examples: list[Any]
    dev: list[Any]
    tokenizer: Any
    layout: Any
    first: Any
    report: dict[str, Any]
    new_tokens: list[str] = field(default_factory=list)


class RowLayout(Protocol):
    """Makes a row of a file an example, or None where it does not fit."""

    def example(self, row: Any) -> Any:
        """The row's example."""


def prepare(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Read, check and tokenise what the plan's objective learns.

    Args:
        plan: see there.
        rows: a file, laid out as the objective needs it: see `data`.
        tokenizer: default: that of the plan's base.

    Raises:
        InputError: a row that is not as it should be, labels that are not one token each, or nothing left.
    """
    data: TrainingData = OBJECTIVES[plan.objective].function("prepare")(plan, rows, tokenizer)
    data.report["licences"] = data_licences(rows) or "not stated"
    return data


def lay_out(
    plan: Plan,
    path: str | os.PathLike[str],
    rows: Iterable[Any],
    layout: RowLayout,
    tokenizer: Any,
    new_tokens: Sequence[str] = (),
) -> TrainingData:
    """Each row as an example, whole queries in train or dev.

    Args:
        plan: its `dev` and `cutoff`.
        path: the file, for messages.
        rows: what was read of it; each has a `query`.
        layout: makes a row an example.
        tokenizer: see `TrainingData`.
        new_tokens: see there.

    Raises:
        InputError: nothing fits the cutoff.
    """
    split: dict[bool, list[Any]] = {False: [], True: []}
    first = None
    for row in rows:
        first = row if first is None else first
        split[is_dev(row.query, plan)].append(layout.example(row))
    kept = {dev: [example for example in examples if example is not None] for dev, examples in split.items()}
    if not kept[False]:
        raise InputError(f"nothing of {os.fspath(path)} fits {plan.cutoff} tokens: raise the cutoff")
    counts = {"train": report(split[False], plan.cutoff), "dev": report(split[True], plan.cutoff)}
    return TrainingData(kept[False], kept[True], tokenizer, layout, first, counts, list(new_tokens))


def base_tokenizer(base: str) -> Any:
    """The tokenizer of a folder or a hub model.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded.
    """
    with loading(base, gguf=True) as source:
        return pretrained("AutoTokenizer", source, extra="training")


def base_processor(base: str) -> Any:
    """The processor of a folder or a hub model that sees images.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded.
    """
    with loading(base) as source:
        return load_processor(source)


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
