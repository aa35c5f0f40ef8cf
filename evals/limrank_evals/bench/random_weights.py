"""A language model of a known shape with random weights, built where there are no files: for speed alone."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import Any

from limrank_evals.bench.causal import PlainModel, Work
from limrank_evals.bench.passages import sentences
from limrank_plugins import samples
from limrank_plugins.backends.local.placement import placement
from limrank_plugins.errors import InputError, require

SHAPES: dict[str, dict[str, int]] = {
    "qwen2.5-7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    "qwen2.5-0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
    },
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 4608,
    },
}
"""Of Qwen2.5's models, as their `config.json` has them; `tiny` is for a look at the command itself."""
_LENGTH, _WORDS = 4096, 4096
_END, _WHY = "<|endoftext|>", "random weights"


def random_model(shape: str, device: str | None, precision: str) -> PlainModel:
    """A Qwen2 of this shape, made on the device in that precision, and a tokenizer of the samples' words.

    Raises:
        InputError: there is no such shape, device or precision.
    """
    if shape not in SHAPES:
        raise InputError(f"there is no shape {shape!r}; there are: {', '.join(SHAPES)}")
    place = placement(device, precision, "transformers", _WHY)
    torch = require("torch", "transformers", _WHY)
    transformers = require("transformers", "transformers", _WHY)
    tokenizer = sample_tokenizer()
    config = transformers.Qwen2Config(
        **SHAPES[shape],
        max_position_embeddings=_LENGTH,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    with torch.device(place.device), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=place.dtype).eval()
    return PlainModel(model, tokenizer, Path(), _LENGTH)


def sample_tokenizer() -> Any:
    """Byte pairs joined as in the sample collection; both labels of the recipe `limrank` are tokens."""
    tokenizers = require("tokenizers", "transformers", _WHY)
    transformers = require("transformers", "transformers", _WHY)
    engine = tokenizers.Tokenizer(tokenizers.models.BPE())
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=_WORDS,
        special_tokens=[_END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator([*sentences(), *["is it true false"] * 1000], trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=engine, eos_token=_END, pad_token=_END)


def sample_work(tokenizer: Any, count: int, tokens: int) -> Work:
    """A query, and so many passages of about so many tokens each, cut out of the sample collection."""
    ids = tokenizer(" ".join(sentences()))["input_ids"]
    stream = cycle(ids)
    passages = [tokenizer.decode(list(islice(stream, tokens))) for _ in range(count)]
    return Work(samples.queries()[0].text, passages)
