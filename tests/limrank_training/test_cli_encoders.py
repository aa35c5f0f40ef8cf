"""`limrank train` with the plans of encoders: listed, looked at without weights, and trained to a folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import tiny_encoders
from encoder_rows import GOOD, pairs, written
from limrank_command import run_limrank

from limrank_plugins.errors import InputError
from limrank_training.plans import load_plan

PLANS = ("tildev2", "gliclass", "cross-encoder", "mm-embed", "ragvl", "ragvl-noise")


def limrank(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LIMRANK_CACHE": str(cwd / "cache")}
    return run_limrank(["train", *arguments], cwd=cwd, env=env)


def test_the_plans_hold_what_the_papers_say():
    tilde, gli = load_plan("tildev2"), load_plan("gliclass")
    assert tilde.contrast is not None
    assert (tilde.contrast.query, tilde.contrast.passage, tilde.contrast.group) == (16, 192, 8)
    o = tilde.optimiser
    assert (o.batch, o.rate, o.epochs, o.warmup) == (8, 5e-6, 5, 0.1)
    o = gli.optimiser
    assert (o.rate, o.head, o.decay, o.batch, o.epochs) == (1e-5, 3e-5, 0.01, 8, 3)
    assert gli.classes is not None
    assert gli.classes.policy is not None
    policy = gli.classes.policy
    assert (gli.classes.most, policy.rate, policy.head, policy.clip, policy.kl) == (25, 2e-6, 3e-6, 0.2, 0.1)
    cross = load_plan("cross-encoder")
    assert cross.pairs is not None
    assert (cross.pairs.negatives, cross.pairs.query, cross.pairs.passage, cross.cutoff) == (4, 70, 350, 512)
    assert (cross.optimiser.rate, cross.optimiser.decay, cross.optimiser.batch) == (2e-5, 0.01, 32)
    noise = load_plan("ragvl-noise").noise
    assert noise is not None
    assert (noise.step, noise.steps, noise.least, noise.most) == (500, 1000, 1, 5)
    assert load_plan("ragvl").noise is None


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("tildev2", {"contrast": None}, "a table contrast belongs to objective tildev2 and mm-embed"),
        ("direct", {"noise": {"step": 5}}, "a table noise belongs to objective ragvl"),
        ("gliclass", {"lora.r": 4}, "objective gliclass trains all weights"),
        ("gliclass", {"classes.most": 0}, "classes.most must be a whole number >= 1"),
        ("gliclass", {"classes.policy.part": 7}, "multiple of classes.policy.part"),
        ("ragvl-noise", {"noise.step": 1001}, "noise.step must be a whole number >= 1 and <= 1000"),
        ("cross-encoder", {"packed": True}, "packed rows cannot be used"),
        ("tildev2", {"contrast.group": 1}, "contrast.group must be a whole number >= 2"),
    ],
)
def test_wrong_settings_are_named(name: str, changes: dict[str, object], said: str):
    with pytest.raises(InputError, match=said):
        load_plan(name, changes)


def test_all_are_listed(tmp_path: Path):
    done = limrank("list", "--json", cwd=tmp_path)
    assert {plan["name"] for plan in json.loads(done.stdout)} >= set(PLANS)


@pytest.mark.parametrize("name", ["tildev2", "gliclass", "cross-encoder"])
def test_looking_needs_neither_weights_nor_a_download(tmp_path: Path, name: str):
    rows = written(tmp_path / "rows.jsonl", pairs())
    changes = ("--set", "dev=0") if name != "tildev2" else ("--set", "dev=0", "--set", "contrast.group=4")
    done = limrank(name, "--rows", rows, "--dry-run", "--json", *changes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["data"]["train"]["rows"] == 4
    assert found["data"]["train"]["tokens"] > 100
    shown = limrank(name, "--rows", rows, "--show-example", *changes, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert next(iter(GOOD.values())) in shown.stdout


def test_vectors_can_be_looked_at_too(tmp_path: Path):
    candidates = [{"text": "acid curdles milk", "relevant": True}, {"text": "bread rises", "relevant": False}]
    rows = written(
        tmp_path / "rows.jsonl", [{"query": "why milk", "wants": "text", "candidates": candidates}]
    )
    for look in ("--dry-run", "--show-example"):
        done = limrank("mm-embed", "--rows", rows, look, "--set", "dev=0", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "why milk\nacid curdles milk\n"


def test_a_dry_run_with_the_base_at_hand_says_what_it_needs(tmp_path: Path):
    base = tiny_encoders.encoder(tmp_path / "bert")
    rows = written(tmp_path / "rows.jsonl", pairs())
    changes = ("--set", f"base={base}", "--set", "dev=0", "--set", "cutoff=64")
    found = json.loads(
        limrank("cross-encoder", "--rows", rows, "--dry-run", "--json", *changes, cwd=tmp_path).stdout
    )
    assert found["needs"]["parameters"] > 10_000
    assert found["needs"]["trained"] == found["needs"]["parameters"]


def test_training_ends_in_a_folder(tmp_path: Path):
    base = tiny_encoders.encoder(tmp_path / "bert")
    rows = written(tmp_path / "rows.jsonl", pairs())
    settings = (f"base={base}", "dev=0", "cutoff=64", "precision=float32", "optimiser.steps=2",
                "optimiser.batch=4", "optimiser.part=4", "pairs.warmup=0")  # fmt: skip
    changes = [part for one in settings for part in ("--set", one)]
    done = limrank("cross-encoder", "--rows", rows, "-o", "run", *changes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "holds the trained model in final" in done.stderr
    card = json.loads((tmp_path / "run/final/limrank.json").read_text())
    assert card == {"recipe": "cross-encoder", "plan": "cross-encoder", "base": str(base)}
    assert (tmp_path / "run/final/model.safetensors").is_file()
