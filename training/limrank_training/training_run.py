"""A training run from a plan to exported folders; a killed one goes on from its last checkpoint."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.loading import loading, pretrained
from limrank_plugins.backends.local.sources import is_gguf
from limrank_plugins.begun_anew import place_of, working_on
from limrank_plugins.card import CARD
from limrank_plugins.errors import InputError, require
from limrank_plugins.files import read_json_object
from limrank_plugins.locks import alone_in
from limrank_plugins.outputs import make_folder, write_whole
from limrank_training.adapters import with_adapters
from limrank_training.added_tokens import fit_embeddings
from limrank_training.board import BOARD, board
from limrank_training.checkpoints import is_main, last_checkpoint
from limrank_training.curves import PAGE, PNG, draw_curves
from limrank_training.dev_ranking import MEASURE, DevQuery, best_step, is_spread, restore, watcher
from limrank_training.estimate import held_precision, model_class
from limrank_training.history import HISTORY, journal, read_history
from limrank_training.objectives import OBJECTIVES
from limrank_training.plans import Plan
from limrank_training.sft import TrainingResult
from limrank_training.training_data import TrainingData

CHECKPOINTS, FINAL, ADAPTER = "checkpoints", "final", "adapter"
PLAN, REPORT = "plan.json", "report.json"


def train(
    plan: Plan,
    data: TrainingData,
    folder: Path,
    *,
    fresh: bool = False,
    merge: bool = True,
    callbacks: Sequence[Any] = (),
    log_every: int = 10,
    watched: Sequence[DevQuery] = (),
    say: Callable[[str], object] = lambda sentence: None,
) -> TrainingResult:
    """Train, log and export.

    The folder holds `plan.json`, `history.jsonl`, `report.json`, `tensorboard/` (where that is installed),
    `checkpoints/`, `adapter/` (where there are adapters) and, with `merge`, `final/`.

    Args:
        plan: see there.
        data: what `prepare` made of the rows.
        folder: where to; a run of the same plan that is there is gone on with.
        fresh: begin anew; the run that is there stays until the new one is finished, see `begun_anew`.
        merge: also write merged weights.
        callbacks: of `transformers`.
        log_every: steps between two entries of the history.
        watched: kept-out queries that are ranked at every checkpoint, as the plan's table `watch` says.
        say: gets a sentence about what was begun anew.

    Raises:
        InputError: the folder holds a run of another plan or other data, or another process works in it.
    """
    with ExitStack() as held:
        identity = {"plan": plan.as_json(), "data": data.report}
        if is_main():
            make_folder(folder)
            held.enter_context(alone_in(folder))
            work = held.enter_context(working_on(folder, identity, training_files, fresh=fresh, say=say))
        folder = place_of(folder, identity, fresh=fresh)
        _check_run(folder, identity, fresh)
        objective = OBJECTIVES[plan.objective]
        model = objective.function("load")(plan, data.tokenizer)
        if is_main():
            write_whole(folder / PLAN, _json(identity))
        own = [journal(folder / HISTORY)]
        if plan.watch is not None and watched:
            own.append(watcher(plan, data.tokenizer, watched, folder))
        shown = board(folder / BOARD)
        own += [] if shown is None else [shown]
        trained: TrainingResult = objective.function("train")(
            model,
            data,
            plan,
            folder / CHECKPOINTS,
            resume=not fresh,
            callbacks=[*own, *callbacks],
            log_every=log_every,
        )
        if not is_main():
            return trained  # one process writes
        if is_spread():
            trained.model = _whole(plan, data, folder)
        metrics = _ended(plan, trained, folder)
        write_whole(folder / REPORT, _json({"data": data.report, "metrics": metrics}))
        draw_curves(folder, plan.name)
        facts = {"Data": data.report, "Metrics": metrics}
        export = objective.function("export")
        if plan.lora is not None:
            export(trained.model, data.tokenizer, plan, folder / ADAPTER, merge=False, facts=facts)
        if merge:
            export(trained.model, data.tokenizer, plan, folder / FINAL, facts=facts)
        work.end(is_finished=True)
        return trained


def training_files(folder: Path) -> list[Path]:
    """What a run has written into its folder; see `begun_anew.working_on`.

    A checkpoint and an export are folders of their own, whose files are the run's.

    Raises:
        InputError: files of these names are there, but no plan of a run: they are not ours to replace.
    """
    whole = [place for place in (folder / CHECKPOINTS).glob("checkpoint-*") if place.is_dir()]
    whole += [place for name in (ADAPTER, FINAL) if ((place := folder / name) / CARD).is_file()]
    files = [file for place in whole for file in place.rglob("*") if not file.is_dir()]
    files += (folder / BOARD).glob("events.out.tfevents.*")
    files += (file for name in (HISTORY, PNG, PAGE, REPORT, PLAN) if (file := folder / name).is_file())
    if files and not _is_identity(folder / PLAN):
        raise InputError(
            f"{folder} holds {files[-1].name} and no {PLAN} of a training run: choose another folder"
        )
    return files


def _is_identity(file: Path) -> bool:
    """Whether this is the `plan.json` that a run writes."""
    try:
        return {"plan", "data"} <= read_json_object(file).keys()
    except InputError:
        return False


def _whole(plan: Plan, data: TrainingData, folder: Path) -> Any:
    """The last checkpoint as one model in memory: what was trained is spread over the processes."""
    last = last_checkpoint(folder / CHECKPOINTS)
    assert last is not None
    model = with_adapters(OBJECTIVES[plan.objective].function("load")(plan, data.tokenizer), plan)
    restore(model, last)
    return model


def _ended(plan: Plan, trained: TrainingResult, folder: Path) -> dict[str, Any]:
    """The run's last figures; where a better checkpoint is to be exported, its weights are put back."""
    entries = read_history(folder / HISTORY)
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    dev = [entry["eval_loss"] for entry in entries if "eval_loss" in entry]
    metrics: dict[str, Any] = {
        "steps": trained.steps,
        "loss": losses[-1] if losses else None,
        "dev_loss": dev[-1] if dev else None,
    }
    best = best_step(folder) if plan.watch is not None else None
    if best is not None and plan.watch is not None:
        metrics |= {"best_step": best[0], MEASURE: best[1]}
        if plan.watch.best and best[0] != trained.steps:
            restore(trained.model, folder / CHECKPOINTS / f"checkpoint-{best[0]}")
    return metrics


def load_base(plan: Plan, tokenizer: Any) -> Any:
    """The plan's base, knowing every token of the tokenizer.

    It is in the plan's precision where only adapters are trained, else in 32 bits; see `adapters`.

    Args:
        plan: see there; a recipe for models that see makes it one for images and text.
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
    with loading(plan.base, gguf=True) as source:
        if is_gguf(
            source
        ):  # peft looks for a config.json beside it, at every checkpoint; `export` knows better
            warnings.filterwarnings("ignore", "Could not find a config file in ", UserWarning)
        model = pretrained(model_class(plan), source, dtype=getattr(torch, held_precision(plan)), **extra)
    fit_embeddings(model, getattr(tokenizer, "tokenizer", tokenizer))
    return model


def _check_run(folder: Path, identity: dict[str, Any], fresh: bool) -> None:
    """A run may be gone on with by its own plan and data only."""
    before = folder / PLAN
    if fresh or last_checkpoint(folder / CHECKPOINTS) is None or not before.is_file():
        return
    known = read_json_object(before, fix="begin anew with --fresh")
    if known != json.loads(json.dumps(identity)):
        raise InputError(
            f"{folder} holds a run of another plan or other data: choose another folder, or begin anew "
            f"with --fresh"
        )


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode("utf-8")
