"""What TILDE adds, beside the released steps (ielab/TILDE 9751709: expansion.py, indexingv2.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders
import torch
import transformers

from limrank_plugins.backends.tildev2 import Expansion, TILDEv2, TILDEv2Index
from limrank_plugins.backends.tildev2.terms import STOP_WORDS

LONG = "milk curdles because acid proteins clump together when bread rises " * 30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    tiny_encoders.tildev2(home / "tildev2", max_position_embeddings=256)
    tiny_encoders.bert_tokenizer(home / "tildev2", model_max_length=256).save_pretrained(home / "tildev2")
    torch.manual_seed(7)
    config = tiny_encoders.bert_config(max_position_embeddings=256)
    transformers.BertLMHeadModel(config).save_pretrained(home / "tilde")
    return home


@pytest.fixture(scope="module")
def model(home: Path) -> TILDEv2:
    return TILDEv2.load(str(home / "tildev2"), device="cpu")


@pytest.fixture(scope="module")
def expansion(home: Path) -> Expansion:
    return Expansion.load(str(home / "tilde"), top=60, device="cpu")


def released_row(home: Path, tokenizer: Any, text: str, top: int) -> list[int]:
    """The row that is indexed: 128 tokens of the passage, what is added, cut to 192."""
    network = transformers.BertForMaskedLM.from_pretrained(home / "tilde").eval()
    ids = tokenizer(text, max_length=128, truncation=True)["input_ids"]
    marked = [1, *ids[1:]]
    with torch.no_grad():
        best = network(torch.tensor([marked])).logits[0, 0].topk(top).indices.numpy()
    words = {*STOP_WORDS, "who", "what", "when", "where", "which", "why", "how", "definition"}
    known = tokenizer.get_vocab().items()
    bad = [i for token, i in known if token in words or token == "##s"]
    bad += [i for token, i in known if not token.startswith("##") and not token.isalnum()]
    added = np.setdiff1d(np.setdiff1d(best, marked, assume_unique=True), bad, assume_unique=True)
    row = [tokenizer.cls_token_id, *marked[1:], *added.tolist()]
    return [*row[:191], tokenizer.sep_token_id]


@pytest.mark.parametrize("text", ["milk curdles", LONG, "the why of tea", ""])
def test_the_row_is_the_released_one(home: Path, model: TILDEv2, expansion: Expansion, text: str):
    ids = model.terms.tokens(text)
    (added,) = expansion.expand([ids], model)
    row = model.layout(ids, added, longest_passage=128)
    expected = released_row(home, model.tokenizer, text, expansion.top)
    assert row.ids == (expected if added else expected[:-1])
    assert row.cut == max(0, len(ids) - 126)


def test_a_long_passage_gets_tokens_and_no_question_word(model: TILDEv2, expansion: Expansion):
    (added,) = expansion.expand([model.terms.tokens(LONG)], model)
    assert len(added) > 10
    names = model.tokenizer.convert_ids_to_tokens(added)
    assert {"what", "why", "how"}.isdisjoint(names)
    assert "what" in [t for t, i in model.tokenizer.get_vocab().items() if i not in model.terms.stopped]
    bare = TILDEv2Index.build([LONG], model)
    expanded = TILDEv2Index.build([LONG], model, expansion=expansion)
    assert len(expanded.rows.indices) > len(bare.rows.indices)
    assert int(expanded.cut[0]) > int(bare.cut[0]) > 0
