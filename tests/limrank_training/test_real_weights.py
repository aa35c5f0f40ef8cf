"""LoRA on real weights: the loss falls, and the adapter and the merged weights give the same scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from limrank_plugins import Reranker, samples
from limrank_training.plans import LoraSettings, OptimiserSettings, Plan
from limrank_training.training_data import prepare
from limrank_training.training_run import ADAPTER, FINAL, train

QUERY = "why does a wooden door stick in summer"
_TEXTS = {document.id: document.text for document in samples.documents()}
PASSAGES = [_TEXTS[name][:240] for name in ("wood-moisture-move", "door-frozen-car")]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    shutil.rmtree(tmp_path / "run", ignore_errors=True)  # a gigabyte, which pytest would keep for three runs


def scores(folder: Path) -> list[float]:
    """As the export's own card wants it to be asked."""
    reranker = Reranker.from_pretrained(str(folder), device="cpu", dtype="float32", reasoning="none")
    found = [hit.score for hit in sorted(reranker.rank(QUERY, PASSAGES), key=lambda hit: hit.index)]
    reranker.close()
    return found


def test_a_lora_on_real_weights(smollm2: str, tmp_path: Path, run: Path) -> None:
    rows = [
        {"query": QUERY, "passage": passage, "trace": trace, "relevant": relevant}
        for passage, trace, relevant in zip(
            PASSAGES, ("Wood swells in moist air.", "It is about a car."), (True, False), strict=True
        )
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = Plan(
        "real",
        base=smollm2,
        lora=LoraSettings(r=4, alpha=8),
        optimiser=OptimiserSettings(rate=1e-3, schedule="constant", warmup=0.0, steps=3, batch=2, part=2),
        precision="float32",
        cutoff=400,
        dev=0.0,
    )
    result = train(plan, prepare(plan, tmp_path / "rows.jsonl"), run, log_every=1)
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    assert len(losses) == 3
    # The same two rows at every step.
    assert losses[2] < losses[1] < losses[0]
    assert losses[2] < 0.9 * losses[0]
    del result
    named = json.loads((run / ADAPTER / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == smollm2
    merged, apart = scores(run / FINAL), scores(run / ADAPTER)
    # x(W + sBA) beside xW + s(xB)A in float32: logits within 1e-5 of their size, 20 or so.
    assert merged == pytest.approx(apart, abs=1e-4)
    assert all(0 < score < 1 for score in merged)
    assert merged[0] != pytest.approx(merged[1], abs=1e-3)
