"""Tiny random BERTs with a WordPiece vocabulary: what cross-encoders, TILDEv2 and GLiClass are tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

torch.set_num_threads(1)

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_KNOWN = """
the a of and what why does is in how acid curdles milk because proteins clump together bread rises when yeast
makes gas rivers carve valleys light bends water iron rusts moist air tea cheese sep label cat dog
"""
WORDS = _KNOWN.split()
VOCABULARY = [
    *SPECIAL,
    *"[]<>/.,?!0123456789",
    *LETTERS,
    *(word for word in WORDS if len(word) > 1),
    *(f"##{letter}" for letter in LETTERS),
]
QUERY = "why does milk curdle in tea?"
TEXTS = [
    "acid curdles milk because the proteins clump together.",
    "bread rises when yeast makes gas",
    "milk",
    "",
    "rivers carve valleys and light bends in water; iron rusts in moist air",
    "tea, milk and cheese " * 6,
    "zebra crossing xylophone",
    "milk milk milk",
]


def bert_tokenizer(folder: Path, **changes: Any) -> Any:
    """BERT's own lower-casing WordPiece tokenizer over the vocabulary above."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return transformers.BertTokenizerFast(str(folder / "vocab.txt"), **{"model_max_length": 64} | changes)


def bert_config(**changes: Any) -> Any:
    """Two layers of 32; weights far enough from 0 that texts are told apart."""
    sizes: dict[str, Any] = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "num_labels": 1,
    }
    return transformers.BertConfig(**sizes | changes)


def cross_encoder(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A random BERT with a classifier, as `save_pretrained` writes it."""
    torch.manual_seed(seed)
    bert_tokenizer(folder).save_pretrained(folder)
    transformers.BertForSequenceClassification(bert_config(**changes)).save_pretrained(folder)
    return folder


def tildev2(folder: Path, seed: int = 3, **changes: Any) -> Path:
    """A random TILDEv2 in the released layout: one file of `bert.*` and `tok_proj.*`, pooler included."""
    torch.manual_seed(seed)
    bert_tokenizer(folder).save_pretrained(folder)
    config = bert_config(**changes)
    encoder = transformers.BertModel(config)
    head = torch.nn.Linear(config.hidden_size, 1)
    torch.nn.init.normal_(head.weight, std=0.5)
    with torch.no_grad():  # so that about one weight in four is cut off at 0
        hidden = encoder.eval()(torch.randint(len(SPECIAL), len(VOCABULARY), (4, 12))).last_hidden_state
        head.bias.fill_(-(hidden @ head.weight[0]).quantile(0.25).item())
    config.architectures = ["TILDEv2"]
    config.save_pretrained(folder)
    state = {f"bert.{name}": value for name, value in encoder.state_dict().items()}
    state |= {f"tok_proj.{name}": value for name, value in head.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def tilde(folder: Path, seed: int = 7) -> Path:
    """A random TILDE, saved by the class it was trained with; the hub's has no tokenizer either."""
    torch.manual_seed(seed)
    transformers.BertLMHeadModel(bert_config()).save_pretrained(folder)
    return folder


def encoder(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A random BERT without any head."""
    torch.manual_seed(seed)
    bert_tokenizer(folder).save_pretrained(folder)
    transformers.BertModel(bert_config(**changes)).save_pretrained(folder)
    return folder
