"""A tiny decoder from scratch that learns to read the world's language, and nothing of relevance.

Its texts hold facts, the same facts again, questions with the steps to whom they ask about, and
comparisons of words: what a base model has read much of before it is trained to rerank. They hold neither
a query with a passage nor a verdict. All entities are named in them, as a base model has seen all words,
but with facts drawn anew for every text: nothing that is so in the world can be learned from them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.errors import require
from limrank_plugins.prompts import load_template
from limrank_plugins.recipes import load_recipe
from limrank_training.data.examples import Example
from limrank_training.plans import Plan
from limrank_training.plans.tables import Optimiser
from limrank_training.sft import fine_tune
from limrank_training.world.language import (
    ATTRIBUTES,
    MARKS,
    World,
    compared,
    imagined,
    names,
)
from limrank_training.world.questions import make_question, resolved

END, THINK = "<|endoftext|>", ("<think>", "</think>")
_PEOPLE, _PAIRS = 10, 10
_LABEL = re.compile(r"(\[\w+\])")
# A chat is its messages, one on each line.
_CHAT = (
    "{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The decoder, and how long it reads.

    Attributes:
        width: of its states.
        layers: how many. Two suffice for copying; three learn to look a fact up by two words much sooner.
        heads: of each layer.
        steps: of its training from scratch.
        batch: texts of a step.
        rate: the highest learning rate.
    """

    width: int = 64
    layers: int = 3
    heads: int = 4
    steps: int = 1600
    batch: int = 32
    rate: float = 4e-3


def make_base(world: World, folder: Path, recipes: Sequence[str], shape: Shape, seed: int) -> Path:
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
    texts = [reading(world, draw) for _ in range(shape.steps * shape.batch)]
    given = tokenizer([text for text, _ in texts])["input_ids"]
    follows = tokenizer([text for _, text in texts])["input_ids"]
    examples = [
        Example((*one, *other), len(one), where=f"text {number}")
        for number, (one, other) in enumerate(zip(given, follows, strict=True))
    ]
    plan = Plan(
        "base",
        lora=None,
        optimiser=Optimiser(
            rate=shape.rate, schedule="cosine", warmup=0.04, epochs=1, batch=shape.batch, part=shape.batch
        ),
        precision="float32",
        seed=seed,
    )
    decoder = make_decoder(tokenizer, shape, seed)
    trained = fine_tune(
        decoder, tokenizer.pad_token_id, examples, plan, folder.with_name(f"{folder.name}-run")
    )
    trained.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine,
        unk_token="<unk>",
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = _CHAT
    return made


def make_decoder(tokenizer: Any, shape: Shape, seed: int) -> Any:
    """A Llama of this shape with random weights."""
    torch = require("torch", "training", "the proof")
    transformers = require("transformers", "training", "the proof")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=2 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=512,
        initializer_range=shape.width**-0.5,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.LlamaForCausalLM(config)


def reading(world: World, draw: random.Random) -> tuple[str, str]:
    """A text to read: what is given, and what follows from it.

    Two in five are comparisons alone, which a tiny model learns from texts that are full of them. The others
    say known facts again, in their order or another, and answer a question by its steps.
    """
    if draw.random() < 0.4:
        return " Read:", f" {' '.join(_pair(world.entities, draw) for _ in range(_PAIRS))}"
    people = draw.sample(world.entities, _PEOPLE)
    question = make_question(imagined(people, (), draw), draw, draw.choice((0, 1, 2, 2)))
    follows = [f"{fact}." for fact in question.text.split(". ")[:-1]]
    if draw.random() < 0.5:
        draw.shuffle(follows)
    follows += [resolved(question), _pair(list(ATTRIBUTES), draw), _pair(people, draw)]
    return f" {question.text}", f" {' '.join(follows)}"


def _pair(words: Sequence[str], draw: random.Random) -> str:
    one = draw.choice(words)
    return compared(one, one if draw.random() < 0.5 else draw.choice(words))


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
