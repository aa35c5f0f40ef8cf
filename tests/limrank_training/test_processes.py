"""Two processes are one with twice the accumulation; one of them writes. Real processes, over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import tiny
import torch
import yaml
from limrank_command import limrank
from safetensors.torch import load_file

PLAN = """
base: {base}
lora: {{r: 4, alpha: 8}}
optimiser: {{rate: 1e-2, schedule: cosine, warmup: 0.1, epochs: 2, batch: 8, part: 2}}
precision: float32
cutoff: 300
dev: 0.3
"""
WORDS = ["milk", "acid", "bread", "light", "rivers", "iron", "yeast", "gas", "tea", "air", "water", "query"]


TRAIN = ["train", "plan.yaml", "--rows", "rows.jsonl", "-o"]


def launched(place: Path, run: str, launch: list[str]) -> str:
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launch, "-m", "limrank_plugins", *TRAIN, run]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_two_processes_are_one_with_twice_the_accumulation(tmp_path: Path):
    rows = [
        {
            "query": f"why {word}",
            "passage": f"{word} it is {' so' * i}",
            "trace": "A cause.",
            "relevant": i % 2 == 0,
        }
        for i, word in enumerate(WORDS * 2)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny.build(tmp_path / "base")
    (tmp_path / "plan.yaml").write_text(PLAN.format(base=tmp_path / "base"))
    limrank(tmp_path, *TRAIN, "one", HF_HUB_OFFLINE="1")
    said = launched(
        tmp_path,
        "two",
        # accelerate's launcher chooses a port that another process may take before it is listened on.
        ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"],
    )
    one = load_file(tmp_path / "one/adapter/adapter_model.safetensors")
    two = load_file(tmp_path / "two/adapter/adapter_model.safetensors")
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-4, rtol=0), name
    histories = [
        [json.loads(line) for line in (tmp_path / run / "history.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    ]
    for key in ("loss", "eval_loss"):
        found = [[entry[key] for entry in history if key in entry] for history in histories]
        assert len(found[0]) == len(found[1]) > 0
        assert torch.allclose(torch.tensor(found[0]), torch.tensor(found[1]), atol=1e-4), key
    # Each process would have said so.
    assert said.count("steps; two holds the trained model in adapter and final") == 1


def test_the_launch_files_come_with_the_package():
    files = {f.name: yaml.safe_load(f.read_text("utf-8")) for f in _files()}
    assert sorted(files) == [f"{how}-{n}x80gb.yaml" for how in ("ddp", "fsdp", "zero3") for n in (2, 8)]
    from accelerate.commands.config.config_args import ClusterConfig

    for name, held in files.items():
        assert held["num_processes"] == int(name.split("-")[1][0])
        ClusterConfig(**held)  # refuses what accelerate does not know


def _files():
    folder = resources.files("limrank_training.accelerate")
    return [file for file in folder.iterdir() if file.name.endswith(".yaml")]
