"""Training RagVL's reranker (arXiv 2407.21439): yes or no to an image with its caption."""

from __future__ import annotations

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
from limrank_training.data.image_rows import read_image_rows
from limrank_training.losses import plan_loss
from limrank_training.losses.diffusion import diffused
from limrank_training.losses.next_token import IGNORED, noise_weights, token_loss
from limrank_training.model_export import template_of
from limrank_training.plans import NoiseSettings, Plan
from limrank_training.sft import TrainingResult, fine_tune
from limrank_training.torch_seeds import torch_seed
from limrank_training.training_data import TrainingData, base_processor, end_token, lay_out

if TYPE_CHECKING:
    from torch import Tensor

_NOT_FOR_THE_MODEL = ("labels", "rows", "position_ids", "numbers")


def prepare(plan: Plan, rows: str | os.PathLike[str], tokenizer: Any = None) -> TrainingData:
    """Judged images, one an example; see `training_data.prepare` and `read_image_rows`.

    Args:
        plan: with a recipe that asks yes or no about images.
        rows: the file; images lie in its folder or below.
        tokenizer: the processor of the base; default: loaded.

    Raises:
        InputError: a row that is not as it should be, another recipe, or nothing that fits the cutoff.
    """
    recipe = load_recipe(plan.recipe)
    if recipe.backend != "vision" or not isinstance(recipe.readout, YesNo):
        raise InputError(f"objective ragvl cannot train recipe {plan.recipe!r}: choose ragvl or mm-embed")
    if plan.reasoning:
        raise InputError("objective ragvl learns no reasoning: set reasoning: false")
    processor = base_processor(plan.base) if tokenizer is None else tokenizer
    words = processor.tokenizer
    encoder = PromptEncoder(words)
    template = template_of(plan)
    images = ImageTokenizer(processor, encoder.prefix)
    end = end_token(words) if plan.end else None
    layout = ImageLayout(template, processor, encoder, images, plan.cutoff, end)
    return lay_out(plan, rows, read_image_rows(rows, template), layout, processor)


@dataclass(frozen=True, slots=True)
class ImageCriterion:
    """The likelihood of the answers' tokens; with noise, weighted by what a noised image takes away.

    Weights are normalised over a part, `optimiser.part` rows in each process, so that a part's weights have
    a mean of 1; with all of them 1 this is `TokenCriterion`.

    Attributes:
        images: what the model's processor does to images.
        noise: see there; None: every token weighs the same.
        seed: of the noise, which depends on it and on the row alone.
        loss: of logits, labels and weights: a weighted mean over the learned tokens.
    """

    images: ImageTokenizer
    noise: NoiseSettings | None
    seed: int
    loss: Callable[..., Tensor] = token_loss

    def batch(self, examples: Sequence[ImageExample], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """As `collate`, with pixels and what else goes along with the tokens; no `position_ids`.

        Raises:
            InputError: an image cannot be read any more.
        """
        torch = require("torch", "training", "training")
        batch = collate(examples, pad)
        del batch["position_ids"]  # models that see have positions of their own making
        longest = batch["input_ids"].shape[1]
        for name, _ in examples[0].marks:
            marks = [dict(example.marks)[name] for example in examples]
            batch[name] = torch.tensor([[*values, *[0] * (longest - len(values))] for values in marks])
        tensors = [self.images.tokenize([Image.open(example.file)]).tensors for example in examples]
        for name in tensors[0]:
            batch[name] = torch.cat([of_example[name] for of_example in tensors])
        return batch

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """Position t predicts token t + 1; with noise, a second pass finds the weights without gradient."""
        torch = require("torch", "training", "training")
        arguments = {name: value for name, value in batch.items() if name not in _NOT_FOR_THE_MODEL}
        logits: Tensor = model(**arguments, use_cache=False).logits
        if self.noise is not None:
            with torch.no_grad():
                arguments["pixel_values"] = self.noised(arguments["pixel_values"], batch["rows"])
                noised = model(**arguments, use_cache=False).logits
                batch["weights"] = noise_weights(
                    logits, noised, batch["labels"], least=self.noise.least, most=self.noise.most
                )
        return logits

    def noised(self, pixels: Tensor, rows: Sequence[str]) -> Tensor:
        """The pixels at the noise's step of the diffusion."""
        torch = require("torch", "training", "training")
        assert self.noise is not None
        generator = torch.Generator().manual_seed(torch_seed(self.seed, list(rows)))
        epsilon = torch.randn(pixels.shape, generator=generator).to(pixels.device)
        return diffused(pixels, epsilon, self.noise.step, self.noise.steps)

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """Σ w·CE / Σ w, times the learned tokens of the part."""
        labels = batch["labels"].to(logits.device)
        weights = batch["weights"] if self.noise is not None else None
        return self.loss(logits, labels, weights) * self.count(batch)

    def count(self, batch: dict[str, Any]) -> int:
        """The learned tokens."""
        return int((batch["labels"][:, 1:] != IGNORED).sum())


def train(model: Any, data: Any, plan: Plan, folder: Path, **how: Any) -> TrainingResult:
    """Train on what `prepare` made; as `sft.train`."""
    pad = data.tokenizer.tokenizer.pad_token_id
    criterion = ImageCriterion(data.layout.images, plan.noise, plan.seed, plan_loss(plan))
    pad = 0 if pad is None else pad
    return fine_tune(model, pad, data.examples, plan, folder, dev=data.dev, criterion=criterion, **how)
