"""Tiny random models and tokenizers, made on the spot: seconds, no network, no files in git.

`build(folder, "qwen2")` writes a model and its tokenizer as `save_pretrained` would.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, UnigramTrainer

# Two threads that wait for each other on busy cores made these tests 60 times slower than one thread.
torch.set_num_threads(1)

WORDS = """
Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.
Query: why does milk curdle in tea? Passage: acid curdles milk because the proteins clump together.
The verdict is true, the verdict is false, true or false, quite true and quite false.
Bread rises when yeast makes gas; rivers carve valleys; light bends in water; iron rusts in moist air.
A thought: the passage names a cause, but not the one that was asked about. So the answer is plain.
"""
CORPUS = [line for line in WORDS.splitlines() if line] * 4
# Qwen2's own pattern: what may be merged into one token.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINK = ["<think>", "</think>"]


# ---- tokenizers ---------------------------------------------------------------------------------


def qwen_tokenizer(added: Sequence[str] = THINK, words: str = "", **changes: Any) -> Any:
    """Byte-level BPE like Qwen2's, with `<think>` and `</think>` as ordinary added tokens, or without.

    `words` are further ones that become tokens.
    """
    engine = Tokenizer(models.BPE())
    engine.normalizer = normalizers.NFC()
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    engine.decoder = decoders.ByteLevel()
    engine.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    engine.train_from_iterator(
        [*CORPUS, *[words] * 4], BpeTrainer(vocab_size=460, initial_alphabet=alphabet, show_progress=False)
    )
    engine.add_special_tokens(QWEN_SPECIAL)
    engine.add_tokens([AddedToken(token, normalized=False) for token in added])
    return _wrapped(engine, eos_token="<|im_end|>", pad_token="<|endoftext|>", **changes)


def llama_tokenizer() -> Any:
    """BPE with bytes as a last resort, spaces written as ▁ before each piece, and a BOS in front."""
    special = ["<unk>", "<s>", "</s>"]
    engine = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    engine.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    engine.train_from_iterator(
        CORPUS, BpeTrainer(vocab_size=560, special_tokens=special + byte_tokens, show_progress=False)
    )
    # Bytes are vocabulary, not markers: the trainer knows no other way to get them in.
    state = json.loads(engine.to_str())
    state["added_tokens"] = [entry for entry in state["added_tokens"] if entry["content"] in special]
    engine = Tokenizer.from_str(json.dumps(state))
    engine.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    engine.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    engine.add_tokens([AddedToken(token, normalized=False) for token in THINK])
    return _wrapped(engine, unk_token="<unk>", bos_token="<s>", eos_token="</s>", add_bos_token=True)


def unigram_tokenizer() -> Any:
    """SentencePiece-like: a space is put before the first word only, lower-cased, EOS at the end."""
    engine = Tokenizer(models.Unigram())
    engine.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    engine.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    engine.decoder = decoders.Metaspace(prepend_scheme="first")
    special = ["<pad>", "</s>", "<unk>"]
    trainer = UnigramTrainer(vocab_size=160, special_tokens=special, unk_token="<unk>", show_progress=False)
    engine.train_from_iterator(CORPUS, trainer)
    engine.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    engine.add_tokens([AddedToken(token, normalized=True, lstrip=True, rstrip=True) for token in THINK])
    return _wrapped(engine, unk_token="<unk>", eos_token="</s>", pad_token="<pad>")


def word_tokenizer() -> Any:
    """One token per word; the markers stand in the base vocabulary too, so dropping them is not enough."""
    words = sorted({word for line in CORPUS for word in line.lower().split()} | {"true", "false", "<", ">"})
    special = ["[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: i for i, word in enumerate([*special, *THINK, *words])}
    engine = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    engine.normalizer = normalizers.Lowercase()
    engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    engine.add_special_tokens(special)
    engine.add_tokens([AddedToken(token, normalized=False) for token in THINK])
    return _wrapped(engine, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", eos_token="[SEP]")


def _wrapped(engine: Any, **tokens: Any) -> Any:
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine, clean_up_tokenization_spaces=False, **tokens
    )


TOKENIZERS = {
    "qwen": qwen_tokenizer,
    "llama": llama_tokenizer,
    "unigram": unigram_tokenizer,
    "word": word_tokenizer,
}


@cache
def _tokenizer(name: str) -> Any:
    return TOKENIZERS[name]()


def tokenizer(name: str = "qwen") -> Any:
    """A tokenizer by name, trained once. Each caller gets its own: a chat template set here stays here."""
    return copy.deepcopy(_tokenizer(name))


# ---- models -------------------------------------------------------------------------------------

_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.35,  # large, so that attention matters and a planted bug shows
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("Qwen2", {}),
    "llama": ("Llama", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    "mistral": ("Mistral", {"sliding_window": 8, "head_dim": 8}),
    "gemma2": (
        "Gemma2",
        {"sliding_window": 8, "head_dim": 8, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    ),
    "qwen3": ("Qwen3", {"num_key_value_heads": 1, "head_dim": 8}),
}


def model(family: str = "qwen2", seed: int = 0, tokens: Any = None, **changes: Any) -> Any:
    """A random causal language model of this family, in float32 and eval mode."""
    tokens = tokens if tokens is not None else tokenizer()
    name, particular = FAMILIES[family]
    shape = _SHAPE | particular | {"vocab_size": len(tokens)}
    shape |= {"bos_token_id": None, "eos_token_id": tokens.eos_token_id, "pad_token_id": None}
    config = getattr(transformers, f"{name}Config")(**(shape | changes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = getattr(transformers, f"{name}ForCausalLM")(config)
    return made.eval()


def build(folder: Path, family: str = "qwen2", seed: int = 0, tokens: Any = None, **changes: Any) -> Path:
    """Write a tiny model and its tokenizer into a folder, and return the folder."""
    tokens = tokens if tokens is not None else tokenizer()
    made = model(family, seed, tokens, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    made.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def build_adapter(folder: Path, base: Path, seed: int = 1) -> Path:
    """Write a random LoRA adapter for a tiny model, and return its folder."""
    import peft

    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"], task_type="CAUSAL_LM"
    )
    loaded = transformers.AutoModelForCausalLM.from_pretrained(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = peft.get_peft_model(loaded, config)
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=0.3)
    adapted.save_pretrained(folder)
    return folder
