"""What the encoders' objectives have in common: rows by split, how they are shown, how they are written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from limrank_plugins.card import CARD
from limrank_plugins.errors import InputError, require
from limrank_plugins.folders import whole_folder
from limrank_training.model_export import model_card
from limrank_training.plans import Plan
from limrank_training.training_data import is_dev


class ExampleView(Protocol):
    """How an example looks to a person."""

    def shown(self, example: Any) -> tuple[str, str]:
        """What the model reads, and a remark on what is learned from it."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What an encoder is trained on; the same attributes as `TrainingData`.

    Attributes:
        examples, dev: by the plan's share of queries.
        tokenizer: of the base.
        layout: shows examples.
        first: the first example of all.
        report: counts and lengths, by split.
        new_tokens: markers the base's tokenizer did not have.
    """

    examples: list[Any]
    dev: list[Any]
    tokenizer: Any
    layout: ExampleView
    first: Any
    report: dict[str, Any]
    new_tokens: list[str] = field(default_factory=list)


def by_split(queries: Sequence[Any], plan: Plan) -> dict[bool, list[Any]]:
    """Things that have a `query`, whole queries in train (False) or dev (True)."""
    made: dict[bool, list[Any]] = {False: [], True: []}
    for one in queries:
        made[is_dev(one.query, plan)].append(one)
    return made


def lengths_report(rows: int, lengths: Sequence[int], **more: int) -> dict[str, int]:
    """Counts of a split: what was read, what is learned from, tokens in all and of the longest input."""
    found = {"rows": rows, "examples": len(lengths), "tokens": sum(lengths)}
    return found | {"longest": max(lengths, default=0)} | more


def whole(
    made: Mapping[bool, list[Any]],
    tokenizer: Any,
    layout: ExampleView,
    report: dict[str, Any],
    rows: str | os.PathLike[str],
    new_tokens: Sequence[str] = (),
) -> TrainingData:
    """The data of both splits.

    Raises:
        InputError: nothing is left to learn.
    """
    if not made[False]:
        raise InputError(f"nothing of {os.fspath(rows)} is learned: no query has a positive, or all are dev")
    return TrainingData(made[False], made[True], tokenizer, layout, made[False][0], report, list(new_tokens))


class WritableModel(Protocol):
    """A model that writes itself as its own backend reads it."""

    def write(self, place: Path) -> None:
        """Config, weights and tokenizer."""


def export(
    model: WritableModel,
    tokenizer: Any,
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    merge: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder that `Reranker.from_pretrained` reads, whole or not at all; as `model_export.export`.

    Raises:
        InputError: the folder holds something that is no export.
    """
    target = Path(folder)
    held = os.listdir(target) if (target / CARD).is_file() else []
    card = {"recipe": plan.recipe, "plan": plan.name, "base": plan.base}
    if plan.objective == "mm-embed":  # a first stage, which no recipe asks
        card = {"encoder": "multimodal-encoder", "plan": plan.name, "base": plan.base}
    with whole_folder(target, held) as place:
        model.write(Path(place))
        (Path(place) / CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        (Path(place) / "README.md").write_text(model_card(plan, facts or {}, True), "utf-8")
    return target


def standin(plan: Plan) -> Any:
    """A WordPiece tokenizer made on the spot, for looking at a plan: a token for each character."""
    tokenizers = require("tokenizers", "training", "a stand-in tokenizer")
    transformers = require("transformers", "training", "a stand-in tokenizer")
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(code) for code in range(33, 127)]
    names = [*special, *characters, *(f"##{one}" for one in characters)]
    vocabulary = {name: number for number, name in enumerate(names)}
    engine = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=10_000)
    )
    engine.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    engine.decoder = tokenizers.decoders.WordPiece()
    engine.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    parts = {f"{name.strip('[]').lower()}_token": name for name in special if name != "[unused0]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=engine, **parts)


OnProgress = Callable[[int], None] | None
