"""Several tails as one row give what each gives alone, and no more passes than needed are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import transformers

from limrank_plugins.backends.local.packed import can_pack
from limrank_plugins.backends.local.prompt_batches import PACK, in_packs
from limrank_plugins.backends.transformers import TransformersBackend

TAILS = [[5, 9, 13, 200], [7], [5, 9, 13, 201, 33, 34], [90, 91]]
HEAD = [40, 41, 42, 43, 44]


def network(folder: Path, family: str, **changes: Any) -> Any:
    made = tiny.build(folder / family, family, **changes)
    return TransformersBackend(str(made), device="cpu", dtype="float32")._model.held


@pytest.mark.parametrize("family", ["qwen2", "llama"])
@pytest.mark.parametrize("head", [HEAD, []], ids=["prefix", "none"])
def test_a_row_of_tails_equals_each_alone(family: str, head: list[int], tmp_path: Path):
    net = network(tmp_path, family)
    assert net.packs
    prefix = net.prefix(head) if head else None
    alone = torch.cat([net.last_states(prefix, [tail])[0] for tail in TAILS])
    torch.testing.assert_close(net.last_states(prefix, TAILS)[0], alone, rtol=1e-5, atol=1e-5)
    counts = [2, 1, 3, 2]
    ends = net.final_states(prefix, TAILS, counts)
    for tail, count, states in zip(TAILS, counts, ends, strict=True):
        own = net.final_states(prefix, [tail], [count])[0]
        torch.testing.assert_close(states, own, rtol=1e-5, atol=1e-5)
    assert net.decoder.config._attn_implementation == "sdpa", "what was set is put back"


def test_a_model_that_bends_its_logits_or_sees_a_window_reads_row_by_row(tmp_path: Path):
    assert not network(tmp_path, "gemma2").packs
    assert not network(tmp_path, "mistral").packs


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_a_model_that_rotates_by_length_reads_row_by_row(kind: str):
    def configured(rope: dict[str, Any]) -> Any:
        config = transformers.LlamaConfig()
        config._attn_implementation = "sdpa"
        config.rope_parameters = rope
        return config

    assert can_pack(configured({"rope_type": "default", "rope_theta": 1e4}))
    assert not can_pack(configured({"rope_type": kind, "factor": 2.0}))
    assert not can_pack(configured({"full_attention": {"rope_type": kind, "factor": 2.0}}))


def test_a_model_whose_rows_see_one_another_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def leaking(_module: Any, query: Any, key: Any, value: Any, *_: Any, **named: Any) -> tuple[Any, None]:
        groups = query.shape[1] // key.shape[1]
        keys, values = (t.repeat_interleave(groups, dim=1) for t in (key, value))
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril(key.shape[2] - query.shape[2])
        attended = torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return attended.transpose(1, 2), None

    monkeypatch.setattr("limrank_plugins.backends.local.packed._attention", leaking)
    assert not network(tmp_path, "qwen2").packs


def test_packs_keep_the_order_and_the_budget():
    assert in_packs([4, 4, 9, 1, 1], 8) == [[0, 1], [2], [3, 4]]
    assert in_packs([], 8) == []
    assert in_packs([PACK, 1], 10 * PACK) == [[0], [1]]
