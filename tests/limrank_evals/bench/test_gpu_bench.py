"""`limrank bench gpu` on a CPU, with a tiny shape: the same code as on a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="not installed: pip install 'limrank[transformers]'")

import numpy as np
import torch
from limrank_command import limrank

from limrank_evals.bench.gpu import _Subject
from limrank_evals.bench.random_weights import SHAPES, random_model, sample_tokenizer, sample_work
from limrank_plugins.errors import InputError


def test_all_ways_agree_and_the_numbers_belong_together(tmp_path: Path):
    options = ["--shape", "tiny", "--device", "cpu", "--dtype", "float32", "--quick", "--json"]
    printed = json.loads(limrank(tmp_path, "bench", "gpu", *options).stdout)
    assert (printed["shape"], printed["precision"], printed["device"]) == ("tiny", "float32", "cpu")
    speeds = {speed["name"]: speed for speed in printed["speeds"]}
    assert list(speeds) == [
        "scoring, limrank",
        "scoring, transformers, one by one",
        "scoring, transformers, padded batches of 32",
        "generation, limrank",
        "generation, transformers, generate, a padded batch of 2",
        "generation, transformers, generate_batch (continuous batching)",
    ]
    size, bound = printed["work"], printed["floor"]
    assert bound["pairs"] == size["pairs"]
    for name, speed in speeds.items():
        assert speed["items_per_second"] == pytest.approx(1000 / speed["milliseconds"])
        assert speed["gigabytes"] is None, "memory of a GPU alone is measured"
        if name.startswith("scoring"):
            needed = bound["needed_gflop"] / size["pairs"] * speed["items_per_second"]
            assert speed["share_of_peak"] == pytest.approx(needed / bound["peak_gflop_per_second"])
            assert speed["tokens_per_second"] > size["passage_tokens"] * speed["items_per_second"]
            assert (speed["max_score_difference"] or 0) < 1e-5
        else:
            assert speed["tokens_per_second"] == pytest.approx(
                size["text_tokens"] * speed["items_per_second"]
            )
            assert speed["equal"] in (None, True)
    assert all(speed["ratio"] is None for name, speed in speeds.items() if name.endswith("limrank"))
    assert {"vLLM", "SGLang", "FlashAttention"} >= set(printed["not_measured"])


def test_a_peer_that_fails_is_not_measured_and_the_others_are():
    def broken() -> np.ndarray:
        raise RuntimeError("no kernel\nfor this GPU")

    missing: dict[str, str] = {}
    subject = _Subject("scoring", torch.device("cpu"), 2, 10, 1, lambda _: None, missing)
    speeds = subject.speeds(lambda: np.ones(2), {"broken": broken, "well": lambda: np.ones(2)}, None)
    assert [speed.name for speed in speeds] == ["scoring, limrank", "scoring, well"]
    assert missing == {"scoring, broken": "failed: no kernel for this GPU"}


def test_passages_have_about_the_tokens_asked_for():
    tokenizer = sample_tokenizer()
    work = sample_work(tokenizer, 5, 300)
    lengths = [len(tokenizer(text)["input_ids"]) for text in work.passages]
    assert len(set(work.passages)) == 5
    assert all(abs(length - 300) <= 3 for length in lengths)
    for label in (" true", " false"):
        assert len(tokenizer(label)["input_ids"]) == 1


def test_what_there_is_not_is_refused():
    with pytest.raises(InputError, match="shape 'large'; there are: qwen"):
        random_model("large", "cpu", "bfloat16")
    with pytest.raises(InputError, match="device 'cuda:99'"):
        random_model("tiny", "cuda:99", "bfloat16")


def test_the_shape_is_that_of_the_published_model():
    shape = SHAPES["qwen2.5-7b"]
    width, inner, layers = (shape[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    keys = width // shape["num_attention_heads"] * shape["num_key_value_heads"]
    per_layer = 2 * width * width + 2 * width * keys + 3 * width * inner
    biases_and_norms = layers * (width + 2 * keys + 2 * width) + width
    assert layers * per_layer + biases_and_norms + 2 * width * shape["vocab_size"] == 7_615_616_512
