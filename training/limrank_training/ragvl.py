"""Training RagVL's reranker (arXiv 2407.21439): yes or no to a picture with its caption."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.local.image_tokens import ImageTokenizer
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError, require
from limrank_plugins.images import Image
from limrank_plugins.readouts.yes_no import YesNo
from limrank_plugins.recipes import load_recipe
from limrank_training.data.collation import collate
from limrank_training.data.image_layout import ImageExample, ImageLayout
from limrank_training.data.image_rows import ImageRow, read_image_rows
from limrank_training.data.passage_layout import report
from limrank_training.group_data import base_processor
from limrank_training.losses.diffusion import diffused
from limrank_training.losses.next_token import IGNORED, noise_weights, token_loss
from limrank_training.model_export import template_of
from limrank_training.plans import NoiseSettings, Plan
from limrank_training.sft import TrainingResult, fine_tune
from limrank_training.training_data import TrainingData, end_token, is_dev

if TYPE_CHECKING:
    from torch import Tensor

_NOT_FOR_THE_MODEL = ("labels", "rows", "position_ids", "numbers")


def prepare(
    plan: Plan,
    rows: str | os.PathLike[str],
    tokenizer: Any = None,
    on_progress: Callable[[int], None] | None = None,
) -> TrainingData:
    """Judged pictures, one an example; see `training_data.prepare` and `read_image_rows`.

    Args:
        plan: with a recipe that asks yes or no about pictures.
        rows: the file; pictures lie in its folder or below.
        tokenizer: the processor of the base; default: loaded.
        on_progress: called with the number of rows after every 1,000.

    Raises:
        InputError: a row that is not as it should be, another recipe, or nothing that fits the cutoff.
    """
    recipe = load_recipe(plan.recipe)
    if recipe.backend != "vision" or not isinstance(recipe.readout, YesNo):
        raise InputError(f"objective ragvl cannot train recipe {plan.recipe!r}: choose ragvl or mm-embed")
    if plan.reasoning:
        raise InputError("objective ragvl learns no thought: set reasoning: false")
    processor = base_processor(plan.base) if tokenizer is None else tokenizer
    words = processor.tokenizer
    encoder = PromptEncoder(words)
    template = template_of(plan)
    end = end_token(words) if plan.end else None
    pictures = ImageTokenizer(processor, encoder.prefix)
    layout = ImageLayout(template, processor, encoder, pictures, plan.cutoff, end)
    made: dict[bool, list[Any]] = {False: [], True: []}
    first: ImageRow | None = None
    for number, row in enumerate(read_image_rows(rows, template), start=1):
        first = row if first is None else first
        made[is_dev(row.query, plan)].append(layout.example(row))
        if on_progress is not None and number % 1000 == 0:
            on_progress(number)
    examples = [example for example in made[False] if example is not None]
    if first is None or not examples:
        raise InputError(f"no row of {os.fspath(rows)} fits {plan.cutoff} tokens: raise the cutoff")
    return TrainingData(
        examples,
        [example for example in made[True] if example is not None],
        processor,
        [],
        layout,
        first,
        {"train": report(made[False], plan.cutoff), "dev": report(made[True], plan.cutoff)},
    )


@dataclass(frozen=True, slots=True)
class ImageCriterion:
    """The likelihood of the answers' tokens; with noise, weighted by what a noised picture takes away.

    Weights are normalised over a part, `optimiser.part` rows in each process, so that a part's weights have
    a mean of 1; with all of them 1 this is `TokenCriterion`.

    Attributes:
        pictures: what the model's processor does to pictures.
        noise: see there; None: every token weighs the same.
        seed: of the noise, which depends on it and on the row alone.
    """

    pictures: ImageTokenizer
    noise: NoiseSettings | None
    seed: int

    def batch(self, examples: Sequence[ImageExample], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """As `collate`, with pixels and what else goes along with the tokens; no `position_ids`.

        Raises:
            InputError: a picture cannot be read any more.
        """
        torch = require("torch", "training", "training")
        made = collate(examples, pad)
        del made["position_ids"]  # models that see have positions of their own making
        longest = made["input_ids"].shape[1]
        for name, _ in examples[0].marks:
            rows = [dict(one.marks)[name] for one in examples]
            made[name] = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        tensors = [self.pictures.tokenize([Image.open(one.file)]).tensors for one in examples]
        for name in tensors[0]:
            made[name] = torch.cat([one[name] for one in tensors])
        return made

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """Position t predicts token t + 1; with noise, a second pass finds the weights without gradient."""
        torch = require("torch", "training", "training")
        given = {name: value for name, value in batch.items() if name not in _NOT_FOR_THE_MODEL}
        found: Tensor = model(**given, use_cache=False).logits
        if self.noise is not None:
            with torch.no_grad():
                given["pixel_values"] = self.noised(given["pixel_values"], batch["rows"])
                noised = model(**given, use_cache=False).logits
                batch["weights"] = noise_weights(
                    found, noised, batch["labels"], least=self.noise.least, most=self.noise.most
                )
        return found

    def noised(self, pixels: Tensor, rows: Sequence[str]) -> Tensor:
        """The pixels at the noise's step of the diffusion."""
        torch = require("torch", "training", "training")
        assert self.noise is not None
        numbers = torch.Generator().manual_seed(_key(self.seed, rows))
        epsilon = torch.randn(pixels.shape, generator=numbers).to(pixels.device)
        return diffused(pixels, epsilon, self.noise.step, self.noise.steps)

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """Σ w·CE / Σ w, times the learned tokens of the part."""
        labels = batch["labels"].to(logits.device)
        weights = batch["weights"] if self.noise is not None else None
        return token_loss(logits, labels, weights) * self.count(batch)

    def count(self, batch: dict[str, Any]) -> int:
        """The learned tokens."""
        return int((batch["labels"][:, 1:] != IGNORED).sum())


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made; as `sft.train`."""
    pad = data.tokenizer.tokenizer.pad_token_id
    learning = ImageCriterion(data.layout.pictures, plan.noise, plan.seed)
    pad = 0 if pad is None else pad
    return fine_tune(model, pad, data.examples, plan, folder, dev=data.dev, learning=learning, **how)


def _key(seed: int, rows: Sequence[str]) -> int:
    return int.from_bytes(
        hashlib.sha256(repr((seed, list(rows))).encode("utf-8", "replace")).digest()[:7], "big"
    )
