"""The benchmark on a processor: both ways learn the same, FLOPs are those counted, few packages suffice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from limrank_training.adapters import with_adapters
from limrank_training.bench.shapes import SHAPES, flops, random_model, rows
from limrank_training.bench.trainers import compared
from limrank_training.plans import LoraSettings, Plan

torch.set_num_threads(1)
PLAN = Plan("p", lora=None, precision="float32")
# What the extras bring that neither transformers nor peft reads by itself.
OURS = ("trl", "ir_measures", "matplotlib", "bm25s", "Stemmer", "limrank_plugins.retrievers")
RUN = f"""
import atexit, runpy, sys
atexit.register(lambda: sys.stderr.write(f"read: {{[name for name in {OURS!r} if name in sys.modules]}}"))
sys.argv[0] = "bench"
runpy.run_module("limrank_training.bench", run_name="__main__")
"""


def test_both_ways_learn_the_same_with_few_packages():
    options = ["--shape", "tiny", "--steps", "2", "--rounds", "2", "--batch", "2", "--part", "1"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *options, "--precision", "float32", "--peak", "1"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("read: []")
    found = json.loads(done.stdout)
    assert [(run["round"], run["way"]) for run in found["runs"]] == [
        (0, "ours"), (0, "plain"), (1, "plain"), (1, "ours"),
    ]  # fmt: skip
    assert (found["rows"], found["plan"]["optimiser"]["rate"]) == (4, 6e-5)
    losses = [run["loss"] for run in found["runs"]]
    for loss in losses:
        assert loss == pytest.approx(losses[0], abs=1e-5)
        assert loss[1] != loss[0]
    for run in found["runs"]:
        assert run["tokens_per_second"] > 0
        assert run["mfu"] > 0


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4, alpha=8)])
def test_flops_are_those_that_are_computed(lora: LoraSettings | None):
    plan = replace(PLAN, lora=lora)
    example = rows(1, 200, 512)[0]
    model = with_adapters(random_model("tiny", plan), plan)
    model.get_input_embeddings().weight.requires_grad_(False)
    ids = torch.tensor([example.ids])
    with (
        FlopCounterMode(display=False) as counter,
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    counted = counter.get_total_flops() / len(example.ids)
    shape = SHAPES["tiny"]
    # The plain kernel makes all of the causal matrix, not the half that counts.
    other_half = 6 * len(example.ids) * shape["hidden_size"] * shape["num_hidden_layers"]
    needed = flops(model, [example]) + other_half
    # What enters the first layer needs no gradient where nothing before it is trained.
    assert counted == pytest.approx(needed, rel=0.03)


def test_ratios_are_taken_round_by_round():
    runs = [
        {"way": way, "tokens_per_second": rate, "mfu": None, "peak_gigabytes": None}
        for way, rate in (("ours", 10.0), ("plain", 5.0), ("plain", 20.0), ("ours", 10.0))
    ]
    found = compared(runs)
    assert found["ours_over_plain"] == {"median": 1.25, "least": 0.5, "most": 2.0}
    assert found["plain"]["tokens_per_second"] == {"median": 12.5, "least": 5.0, "most": 20.0}
    assert found["ours"]["mfu"] is None
