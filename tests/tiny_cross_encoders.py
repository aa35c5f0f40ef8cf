"""Tiny random cross-encoders of each kind that sentence-transformers loads, as it saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny
import tiny_encoders
import torch
import transformers

TEMPLATE = (
    "{%- set task = namespace(text='Given a web search query, retrieve passages') -%}"
    "{%- for m in messages if m.role == 'system' -%}{%- set task.text = m.content -%}{%- endfor -%}"
    "{%- set query = messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first -%}"
    "{%- set document = messages | selectattr('role', 'eq', 'document') "
    "| map(attribute='content') | first -%}"
    "<|im_start|>system\nJudge the passage.<|im_end|>\n<|im_start|>user\n<Instruct>: {{ task.text }}\n"
    "<Query>: {{ query | trim }}\n<Document>: {{ document }}<|im_end|>\n<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n"
)
"""As Qwen3-Reranker's: the task in the user's words, the query trimmed, an assistant that has begun."""


def _modules() -> tuple[Any, ...]:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore
    from sentence_transformers.sentence_transformer.modules import Pooling

    return CrossEncoder, Transformer, LogitScore, Pooling, Dense


def read_answer(folder: Path, *, family: str = "qwen3", template: str = TEMPLATE, **options: Any) -> Path:
    """A language model whose "yes" and "no" are read (Transformer + LogitScore)."""
    tokens = tiny.qwen_tokenizer(words=" yes no")
    tokens.chat_template = template
    return reading(folder, tiny.build(folder / "base", family, tokens=tokens), tokens, **options)


def reading(folder: Path, base: Path, tokens: Any, **options: Any) -> Path:
    """The same of a language model that is there, whose tokenizer has a template for pairs."""
    cross_encoder, transformer, logit_score, _, _ = _modules()
    body = transformer(str(base), transformer_task="text-generation")
    yes, no = (tokens.convert_tokens_to_ids(tokens.tokenize(word))[0] for word in ("yes", "no"))
    head = logit_score(true_token_id=yes, false_token_id=no)
    cross_encoder(modules=[body, head], device="cpu", **options).save_pretrained(str(folder / "model"))
    return folder / "model"


def pooled(folder: Path, *, mode: str = "cls", include_prompt: bool = True, **options: Any) -> Path:
    """A pooled BERT with two layers behind it (Transformer + Pooling + Dense), as Ettin's rerankers."""
    cross_encoder, transformer, _, pooling, dense = _modules()
    torch.manual_seed(1)
    tiny_encoders.bert_tokenizer(folder / "base").save_pretrained(folder / "base")
    transformers.BertModel(tiny_encoders.bert_config()).save_pretrained(folder / "base")
    modules = [
        transformer(str(folder / "base")),
        pooling(32, mode, include_prompt=include_prompt),
        dense(32, 16, activation_function=torch.nn.GELU()),
        dense(16, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    cross_encoder(modules=modules, device="cpu", **options).save_pretrained(str(folder / "model"))
    return folder / "model"


def encoder(folder: Path, **options: Any) -> Path:
    """A BERT with a classifier."""
    return _classifier(folder, tiny_encoders.cross_encoder(folder / "base"), **options)


def decoder(folder: Path, *, template: str | None = None, **options: Any) -> Path:
    """A Qwen2 with a classifier, whose config pads otherwise than its tokenizer."""
    tokens = tiny.qwen_tokenizer()
    tokens.pad_token = "<|im_end|>"
    tokens.chat_template = template
    config = transformers.Qwen2Config(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.35,
        num_labels=1,
        pad_token_id=tokens.convert_tokens_to_ids("<|endoftext|>"),
        eos_token_id=tokens.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    transformers.Qwen2ForSequenceClassification(config).save_pretrained(folder / "base")
    tokens.save_pretrained(folder / "base")
    return _classifier(folder, folder / "base", **options)


def _classifier(folder: Path, base: Path, **options: Any) -> Path:
    cross_encoder, *_ = _modules()
    cross_encoder(str(base), device="cpu", **options).save_pretrained(str(folder / "model"))
    return folder / "model"
