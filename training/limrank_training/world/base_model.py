"""A tiny decoder from scratch that learns to read the world's language: what `world.reading` writes."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.loading import no_progress_bar
from limrank_plugins.errors import require
from limrank_plugins.prompts import load_template
from limrank_plugins.recipes import load_recipe
from limrank_training.data.passage_layout import Example
from limrank_training.plans import Plan
from limrank_training.plans.shared_settings import OptimiserSettings
from limrank_training.sft import fine_tune
from limrank_training.world.language import MARKS, World, names
from limrank_training.world.texts import comparisons, facts_and_queries, name_rows

END, THINK = "<|endoftext|>", ("<think>", "</think>")
_LABEL = re.compile(r"(\[\w+\])")
# A chat is its messages, one on each line.
_CHAT = (
    "{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """The decoder, and how long it reads.

    Attributes:
        width: of its states.
        layers: how many. The first sees only a word and the one before it, which is what looking things up
            begins with and what is learned last where every word is seen.
        heads: of each layer.
        drills: steps of its training from scratch, on rows of names, and twice as many on comparisons.
        steps: after these, on texts.
        batch: texts of a step.
        rate: the highest learning rate.
    """

    width: int = 64
    layers: int = 3
    heads: int = 4
    drills: int = 300
    steps: int = 700
    batch: int = 32
    rate: float = 4e-3


def make_base(world: World, folder: Path, recipes: Sequence[str], shape: DecoderShape, seed: int) -> Path:
    """Train it and write it into a folder as `save_pretrained` does.

    Args:
        world: whose language.
        folder: where to; checkpoints lie beside it while it is made.
        recipes: whose prompts its tokenizer has words for.
        shape: see there.
        seed: of weights, texts and their order.
    """
    tokenizer = make_tokenizer(world, recipes)
    draw = random.Random(f"reading {seed}")
    decoder = make_decoder(tokenizer, shape, seed)
    lessons = (
        (name_rows, shape.drills),
        (comparisons, 2 * shape.drills),
        (facts_and_queries, shape.steps),
    )
    for lesson, steps in lessons:
        texts = [lesson(world, draw) for _ in range(steps * shape.batch)]
        run = folder.with_name(f"{folder.name}-{lesson.__name__}")
        plan = _lesson(shape, seed, lesson is facts_and_queries)
        decoder = fine_tune(decoder, tokenizer.pad_token_id, _examples(tokenizer, texts), plan, run).model
    with no_progress_bar():
        decoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _lesson(shape: DecoderShape, seed: int, last: bool) -> Plan:
    """All weights are trained, every text is read once, and the rate falls in the last lesson only."""
    optimiser = OptimiserSettings(
        rate=shape.rate,
        schedule="cosine" if last else "constant",
        warmup=0.05 if last else 0.0,
        epochs=1,
        batch=shape.batch,
        part=shape.batch,
    )
    return Plan("base", lora=None, optimiser=optimiser, precision="float32", seed=seed)


def _examples(tokenizer: Any, texts: Sequence[tuple[str, str]]) -> list[Example]:
    prompts = tokenizer([text for text, _ in texts])["input_ids"]
    follows = tokenizer([text for _, text in texts])["input_ids"]
    return [
        Example((*prompt, *follow), len(prompt), where=f"text {number}")
        for number, (prompt, follow) in enumerate(zip(prompts, follows, strict=True))
    ]


def make_tokenizer(world: World, recipes: Sequence[str]) -> Any:
    """One token a word, and one for each fixed stretch of the recipes' prompts.

    Args:
        world: whose words.
        recipes: whose prompts; their labels are tokens of their own.
    """
    tokenizers = require("tokenizers", "training", "the proof's tokenizer")
    transformers = require("transformers", "training", "the proof's tokenizer")
    pieces = ["\n", " > ", *MARKS, *names(world), *(f" {word}" for word in names(world))]
    for name in recipes:
        pieces += _prompt_pieces(name)
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(["<unk>", *pieces]))}
    engine = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    longest = sorted((piece for piece in vocabulary if piece != "<unk>"), key=len, reverse=True)
    pattern = "|".join([*map(re.escape, longest), r"\s*\w+", r"\s*."])
    engine.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="isolated")
    engine.decoder = tokenizers.decoders.Fuse()
    engine.add_special_tokens([END])
    engine.add_tokens([tokenizers.AddedToken(token, normalized=False) for token in THINK])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine,
        unk_token="<unk>",
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _CHAT
    return tokenizer


def make_decoder(tokenizer: Any, shape: DecoderShape, seed: int) -> Any:
    """A Qwen3 of this shape with random weights."""
    torch = require("torch", "training", "the proof")
    transformers = require("transformers", "training", "the proof")
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=2 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.width // shape.heads,
        use_sliding_window=True,
        sliding_window=2,
        layer_types=["sliding_attention", *["full_attention"] * (shape.layers - 1)],
        max_position_embeddings=512,
        initializer_range=shape.width**-0.5,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.Qwen3ForCausalLM(config)


def _prompt_pieces(name: str) -> list[str]:
    """The fixed stretches of a recipe's prompt for up to four passages, and its labels."""
    recipe = load_recipe(name)
    assert recipe.template is not None
    template = load_template(recipe.template)
    mark = "@@"
    pieces: list[str] = list(template.labels)
    for count in (1,) if recipe.oracle == "score" else (2, 3, 4):
        shown = () if recipe.oracle == "score" else _shown(recipe, count)
        prompt = template.render(mark, [mark] * count, labels=shown)
        for segment in prompt.segments:
            for stretch in segment.text.replace("<think>", mark).split(mark):
                pieces += [part.rstrip(" ") for part in _LABEL.split(stretch)]
    return [piece for piece in pieces if piece.strip()]


def _shown(recipe: Any, count: int) -> Sequence[str]:
    shown: Sequence[str] = recipe.readout.labels.shown(count)
    return shown
