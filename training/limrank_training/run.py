"""A training run from a plan to exported folders; a killed one goes on from its last checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.loading import checked_source, told
from limrank_plugins.errors import InputError, require
from limrank_plugins.io import write_whole
from limrank_training.estimate import model_class
from limrank_training.export import export
from limrank_training.objectives import load_objective
from limrank_training.plans import Plan
from limrank_training.preparing import Prepared
from limrank_training.sft import Trained, last_checkpoint
from limrank_training.tokens import fit_embeddings

CHECKPOINTS, FINAL, ADAPTER = "checkpoints", "final", "adapter"
PLAN, HISTORY, REPORT = "plan.json", "history.jsonl", "report.json"


def train(
    plan: Plan,
    data: Prepared,
    folder: Path,
    *,
    fresh: bool = False,
    merge: bool = True,
    callbacks: Sequence[Any] = (),
    log_every: int = 10,
) -> Trained:
    """Train, log and export.

    The folder holds `plan.json`, `history.jsonl`, `report.json`, `checkpoints/`, `adapter/` (where there
    are adapters) and, with `merge`, `final/`.

    Args:
        plan: see there.
        data: what `prepare` made of the rows.
        folder: where to; a run of the same plan that is there is gone on with.
        fresh: begin anew, whatever is there.
        merge: also write merged weights.
        callbacks: of `transformers`.
        log_every: steps between two entries of the history.

    Raises:
        InputError: the folder holds a run of another plan or other data.
    """
    identity = {"plan": plan.as_json(), "data": data.report}
    _check_run(folder, identity, fresh)
    model = load_base(plan, data.tokenizer)
    write_whole(folder / PLAN, _json(identity))
    trained: Trained = load_objective(plan.objective).train(
        model,
        data,
        plan,
        folder / CHECKPOINTS,
        resume=not fresh,
        callbacks=callbacks,
        log_every=log_every,
    )
    lines = "".join(json.dumps(entry) + "\n" for entry in trained.history)
    write_whole(folder / HISTORY, lines.encode("ascii"))
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    dev = [entry["eval_loss"] for entry in trained.history if "eval_loss" in entry]
    metrics = {
        "steps": trained.steps,
        "loss": losses[-1] if losses else None,
        "dev_loss": dev[-1] if dev else None,
    }
    write_whole(folder / REPORT, _json({"data": data.report, "metrics": metrics}))
    facts = {"Data": data.report, "Metrics": metrics}
    if plan.lora is not None:
        export(trained.model, data.tokenizer, plan, folder / ADAPTER, merge=False, facts=facts)
    if merge:
        export(trained.model, data.tokenizer, plan, folder / FINAL, facts=facts)
    return trained


def load_base(plan: Plan, tokenizer: Any) -> Any:
    """The plan's base in training precision, knowing every token of the tokenizer.

    Args:
        plan: see there; a recipe for models that see makes it one for pictures and text.
        tokenizer: with the plan's tokens; or the processor of such a model.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded.
    """
    torch = require("torch", "training", "training")
    transformers = require("transformers", "training", "training")
    extra: dict[str, Any] = {}
    if plan.lora is not None and plan.lora.four_bit:
        require("bitsandbytes", "training", "QLoRA (lora.four_bit)")
        extra["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=getattr(torch, plan.precision),
        )
    source = checked_source(plan.base)
    with told(plan.base):
        model = model_class(plan).from_pretrained(source, dtype=getattr(torch, plan.precision), **extra)
    fit_embeddings(model, getattr(tokenizer, "tokenizer", tokenizer))
    return model


def _check_run(folder: Path, identity: dict[str, Any], fresh: bool) -> None:
    """A run may be gone on with by its own plan and data only."""
    before = folder / PLAN
    if fresh or last_checkpoint(folder / CHECKPOINTS) is None or not before.is_file():
        return
    known = json.loads(before.read_text("utf-8"))
    if known != json.loads(json.dumps(identity)):
        raise InputError(
            f"{folder} holds a run of another plan or other data: choose another folder, or begin anew "
            f"with --fresh"
        )


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode("utf-8")
