"""What libraries have to say to programs is not said to a user of a command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'limrank[transformers]'")
import tiny
import tiny_encoders

LIMRANK = str(Path(sys.executable).with_name("limrank"))
QUERY = "why does milk curdle in tea"
OURS = [
    r"indexing \d+ documents with bm25s",
    r"prompt: .* is asked to go on with the recipe's own prompt \(template 'limrank'\): it has no chat .*",
    r"2 candidates in \d+ ms; (model loaded in [\d.]+ s; )?reranked in [\d.]+ s; "
    r"\d+ model calls?, 0 replies from the store"
    r"(; \d+ tokens written)?(; .* (was|were) longer than the model reads)?",
]


@pytest.mark.parametrize("reasoning", ["none", "full"])
def test_stderr_of_a_local_model_with_an_adapter_is_ours_alone(tmp_path: Path, reasoning: str):
    base = tiny.build(tmp_path / "base")
    adapter = tiny.build_adapter(tmp_path / "adapter", base)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    options = f"--k 2 --recipe limrank --model {base} --option adapter={adapter}"
    options += f" --reasoning {reasoning} --max-reasoning-tokens 8"
    done = subprocess.run(
        [LIMRANK, "search", "samples", QUERY, *options.split()],
        capture_output=True,
        text=True,
        env=environment | {"LIMRANK_CACHE": str(tmp_path / "cache")},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(OURS), said
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(OURS, said, strict=True)), said


def test_a_model_of_another_kind_is_told_in_one_line(tmp_path: Path):
    """transformers would print a table of all weights that are missing or unused."""
    encoder = tiny_encoders.encoder(tmp_path / "encoder")
    done = subprocess.run(
        [LIMRANK, "search", "samples", QUERY, *f"--recipe cross-encoder --model {encoder}".split()],
        capture_output=True,
        text=True,
        env=os.environ | {"LIMRANK_CACHE": str(tmp_path / "cache")},
        timeout=300,
    )
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert re.fullmatch(OURS[0], first)
    assert second.startswith("limrank: ")
    assert "is no cross-encoder" in second
