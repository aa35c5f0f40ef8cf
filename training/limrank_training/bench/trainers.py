"""The two ways that are compared: our trainer, and the libraries by themselves; each run is timed alike."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_plugins.backends.local.lora import quiet
from limrank_plugins.errors import require
from limrank_training.adapters import lora_config
from limrank_training.bench.shapes import flops, random_model
from limrank_training.criteria import TokenCriterion
from limrank_training.data.collation import collate
from limrank_training.data.passage_layout import Example
from limrank_training.plans import Plan
from limrank_training.sft import fine_tune
from limrank_training.trainer_arguments import training_arguments

if TYPE_CHECKING:
    from torch import Tensor

_WHY = "a benchmark"
WARM = 2
"""Steps of each run that are not timed: memory is reserved and kernels are chosen in them."""


class CountingCriterion:
    """Our criterion, which counts the tokens of each part of a step."""

    def __init__(self, noted: list[int]) -> None:
        self._tokens, self._noted = TokenCriterion(), noted

    def batch(self, examples: Sequence[Example], pad: int, *, packed: bool = False) -> dict[str, Any]:
        """See `TokenCriterion`."""
        self._noted.append(sum(len(e.ids) for e in examples))
        return self._tokens.batch(examples, pad, packed=packed)

    def logits(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """See `TokenCriterion`."""
        return self._tokens.logits(model, batch)

    def total(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """See `TokenCriterion`."""
        return self._tokens.total(logits, batch)

    def count(self, batch: dict[str, Any]) -> int:
        """See `TokenCriterion`."""
        return self._tokens.count(batch)


def ours(model: Any, examples: list[Example], plan: Plan, folder: Path, clock: Any, noted: list[int]) -> Any:
    """By our trainer."""
    trained = fine_tune(
        model, 0, examples, plan, folder, callbacks=[clock], log_every=1, criterion=CountingCriterion(noted)
    )
    return trained.model, trained.history


def plain(model: Any, examples: list[Example], plan: Plan, folder: Path, clock: Any, noted: list[int]) -> Any:
    """By peft and `transformers.Trainer` alone, the library's own loss, and the same arguments."""
    torch = require("torch", "training", _WHY)
    transformers = require("transformers", "training", _WHY)
    peft = require("peft", "training", _WHY)

    def padded(batch: list[Example]) -> dict[str, Any]:
        noted.append(sum(len(e.ids) for e in batch))
        columns = collate(batch, 0)
        return {key: columns[key] for key in ("input_ids", "attention_mask", "labels")}

    with torch.random.fork_rng(), quiet():
        torch.manual_seed(plan.seed)
        adapted = peft.get_peft_model(model, lora_config(model, plan))
    trainer = transformers.Trainer(
        model=adapted,
        args=training_arguments(plan, len(examples), folder, False, 1),
        train_dataset=examples,
        data_collator=padded,
        callbacks=[clock],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return adapted, trainer.state.log_history


WAYS: dict[str, Callable[..., Any]] = {"ours": ours, "plain": plain}


def stopwatch(steps: int, warm: int) -> Any:
    """A callback that times the steps after the first ones, and lets nothing be written."""
    torch = require("torch", "training", _WHY)
    transformers: Any = require("transformers", "training", _WHY)

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    class StopwatchCallback(transformers.TrainerCallback):  # type: ignore[misc]  # the library is not typed here
        """`seconds` of the timed steps."""

        started = seconds = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # Examples are collated before a step begins: it is timed from the end of the one before.
            if state.global_step == warm:
                self.started = now()
            if state.global_step == steps:
                self.seconds = now() - self.started
            control.should_save = False

    return StopwatchCallback()


def measured(way: str, shape: str, plan: Plan, examples: list[Example], peak: float | None) -> dict[str, Any]:
    """One run of one way: tokens a second, MFU, peak memory, first and last loss."""
    torch = require("torch", "training", _WHY)
    steps, on_gpu = plan.optimiser.steps, torch.cuda.is_available()
    assert steps is not None
    warm = min(WARM, steps - 1)
    clock = stopwatch(steps, warm)
    noted: list[int] = []
    model = random_model(shape, plan)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        adapted, history = WAYS[way](model, examples, plan, Path(folder), clock, noted)
    parts = plan.optimiser.batch // plan.optimiser.part
    rate = sum(noted[warm * parts : steps * parts]) / clock.seconds
    losses = [entry["loss"] for entry in history if "loss" in entry]
    needed = flops(adapted, examples)
    figures = {
        "way": way,
        "tokens_per_second": round(rate, 1),
        "mfu": None if peak is None else round(rate * needed / peak, 4),
        "peak_gigabytes": round(torch.cuda.max_memory_allocated() / 1e9, 2) if on_gpu else None,
        "seconds": round(clock.seconds, 3),
        "loss": [losses[0], losses[-1]],
    }
    del model, adapted, clock
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
    return figures


def compared(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median and spread of each way, and ours over plain, round by round."""
    of = {way: [run for run in runs if run["way"] == way] for way in WAYS}
    summary: dict[str, Any] = {}
    for way, own in of.items():
        summary[way] = {name: _spread([run[name] for run in own]) for name in ("tokens_per_second", "mfu")}
        summary[way]["peak_gigabytes"] = max((run["peak_gigabytes"] or 0.0) for run in own) or None
    pairs = zip(of["ours"], of["plain"], strict=True)
    ratios = [ours_run["tokens_per_second"] / plain_run["tokens_per_second"] for ours_run, plain_run in pairs]
    return summary | {"ours_over_plain": _spread([round(ratio, 4) for ratio in ratios])}


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": statistics.median(known), "least": min(known), "most": max(known)}
