"""A backend over a model in memory: the answers of a loaded one, with what its weights are now."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from rounding import near

from limrank_plugins import Reranker
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import InputError

torch.set_num_threads(1)
PASSAGES = ["acid curdles milk", "bread rises when yeast makes gas", "light bends in water"]


def scores(backend: TransformersBackend, reasoning: str) -> dict[str, float | None]:
    reranker = Reranker("limrank", backend=backend, reasoning=reasoning, max_reasoning_tokens=12)
    ranking = reranker.rank("why does milk curdle?", PASSAGES)
    return {item.id: item.score for item in ranking}


@pytest.mark.parametrize("reasoning", ["none", "full"])
def test_it_answers_as_the_loaded_one_and_follows_the_weights(tmp_path: Path, reasoning: str):
    tiny.build(tmp_path)
    model = tiny.model()
    live = TransformersBackend.over(model, tiny.tokenizer())
    loaded = TransformersBackend(str(tmp_path), device="cpu")
    assert scores(live, reasoning) == near(scores(loaded, reasoning))
    before = scores(live, "none")
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(0.3)
    assert scores(live, "none") != before
    pointer = model.get_input_embeddings().weight.data_ptr()
    assert live._model.held.decoder.embed_tokens.weight.data_ptr() == pointer


def test_live_adapters_are_asked(tmp_path: Path):
    base = tiny.build(tmp_path / "base")
    adapter = tiny.build_adapter(tmp_path / "adapter", base)
    import peft

    held = peft.PeftModel.from_pretrained(tiny.model(), adapter).eval()
    live = TransformersBackend.over(held.get_base_model(), tiny.tokenizer())
    loaded = TransformersBackend(str(base), adapter=str(adapter), merge_adapter=False, device="cpu")
    assert scores(live, "none") == near(scores(loaded, "none"))
    assert scores(live, "none") != scores(TransformersBackend(str(base), device="cpu"), "none")


def test_settings_are_checked():
    with pytest.raises(InputError, match="batch_tokens"):
        TransformersBackend.over(tiny.model(), tiny.tokenizer(), batch_tokens=0)
