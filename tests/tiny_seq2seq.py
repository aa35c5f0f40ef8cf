"""Tiny random sequence-to-sequence models with a T5-like tokenizer, made on the spot."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import tiny
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import UnigramTrainer


@cache
def tokenizer() -> Any:
    """SentencePiece pieces as T5 has them: `true` is `▁true`, `</s>` ends a text, extra ids are special."""
    engine = Tokenizer(models.Unigram())
    engine.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(left=False, right=True)])
    engine.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    special = ["<pad>", "</s>", "<unk>"]
    trainer = UnigramTrainer(
        vocab_size=220,
        special_tokens=special,
        unk_token="<unk>",
        show_progress=False,
    )
    engine.train_from_iterator([*tiny.CORPUS, *["Relevant: true", "Relevant: false"] * 8], trainer)
    engine.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    engine.add_special_tokens([AddedToken("<extra_id_0>", normalized=False)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine,
        clean_up_tokenization_spaces=False,
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="<pad>",
    )


def build(folder: Path, family: str = "t5", seed: int = 0, **changes: Any) -> Path:
    """Write a tiny model (`"t5"`, `"mt5"` or `"bart"`) and its tokenizer into a folder; the folder."""
    size = len(tokenizer())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "bart":
            config: Any = transformers.BartConfig(
                vocab_size=size,
                d_model=32,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=4,
                decoder_attention_heads=4,
                encoder_ffn_dim=48,
                decoder_ffn_dim=48,
                max_position_embeddings=256,
                init_std=0.3,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=1,
                decoder_start_token_id=1,
                **changes,
            )
            made: Any = transformers.BartForConditionalGeneration(config)
            made.generation_config.forced_bos_token_id = 3
        else:
            kind = {"t5": "T5", "mt5": "MT5"}[family]
            shape = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
            gated = (
                {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if family == "mt5" else {}
            )
            config = getattr(transformers, f"{kind}Config")(
                vocab_size=size,
                **(shape | gated | changes),
                pad_token_id=0,
                eos_token_id=1,
                decoder_start_token_id=0,
            )
            made = getattr(transformers, f"{kind}ForConditionalGeneration")(config)
            for weight in made.parameters():  # large, so that attention matters and a planted bug shows
                if weight.ndim > 1:
                    torch.nn.init.normal_(weight, std=0.4)
    made.eval()
    folder.mkdir(parents=True, exist_ok=True)
    made.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
