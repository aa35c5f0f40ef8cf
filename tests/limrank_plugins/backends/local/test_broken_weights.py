"""Weights that hold NaN fail every document by that cause; the architecture is not blamed."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
import transformers

from limrank_plugins import Reranker

CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.mark.parametrize("recipe", ["icr", "limrank", "qlm", "first"])
def test_nan_weights_are_told_as_such(tmp_path: Path, recipe: str):
    tokens = tiny.tokenizer()
    tokens.chat_template = CHAT
    folder = tiny.build(tmp_path / "m", tokens=tokens, max_position_embeddings=1024)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(float("nan"))
    model.save_pretrained(folder)
    options = {"reasoning": "none", "template": "limrank"} if recipe == "limrank" else {}
    ranking = Reranker(recipe, str(folder), **options).rank("why does milk curdle?", ["acid", "bread"])
    reasons = {failure.reason for failure in ranking.failures}
    assert len(ranking.failures) == 2
    assert all("not finite" in reason for reason in reasons), reasons
