"""Rank kept-out queries with the model as it is at a checkpoint: nDCG@10, early stopping, the best kept.

Rank1 watched its training on a benchmark's test queries; here whole queries of the rows are kept out
(`plan.dev`), and a file that looks like a benchmark is warned about.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins import Reranker
from limrank_plugins.arguments import Thinking
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError, LimRankWarning, require
from limrank_plugins.ndcg import ndcg
from limrank_training.benchmarks import named_benchmark
from limrank_training.data.group_rows import read_groups
from limrank_training.data.passage_rows import read_passage_rows
from limrank_training.data.row_fields import read_rows
from limrank_training.history import HISTORY, read_history
from limrank_training.model_export import template_of
from limrank_training.objectives import OBJECTIVES
from limrank_training.plans import Plan
from limrank_training.training_data import is_dev

MEASURE = "dev_ndcg"


@dataclass(frozen=True, slots=True)
class DevQuery:
    """A query that nothing is learned from.

    Attributes:
        query: see there.
        documents: in the file's order.
        grades: of each; at least one is above 0 and at least one is 0.
    """

    query: Query
    documents: tuple[Document, ...]
    grades: tuple[float, ...]


def dev_queries(plan: Plan, rows: str | os.PathLike[str]) -> list[DevQuery]:
    """The first `plan.watch.queries` kept-out queries of the file that can be ranked.

    A query can be ranked that has relevant and other passages. A file that looks like a benchmark's test
    set by its path or its rows' ids is warned about.

    Args:
        plan: with `watch`; its objective says how the file is laid out.
        rows: the file that is trained on.

    Raises:
        InputError: no kept-out query can be ranked.
    """
    assert plan.watch is not None
    name = named_benchmark(rows, _ids(rows))
    if name is not None:
        warnings.warn(
            f"the dev queries of {os.fspath(rows)} seem to be those of {name}: a model chosen by them "
            f"must not be reported on them (Rank1 was watched so)",
            LimRankWarning,
            stacklevel=2,
        )
    queries: list[DevQuery] = []
    for query in _all(plan, rows):
        if len(queries) == plan.watch.queries:
            break
        if any(query.grades) and not all(query.grades):
            queries.append(query)
    if not queries:
        raise InputError(
            f"{os.fspath(rows)}: none of the kept-out queries (dev={plan.dev}) has both relevant and other "
            f"passages, so there is no nDCG to watch: raise dev, or leave the table watch out"
        )
    return queries


def rank_live(model: Any, tokenizer: Any, plan: Plan, queries: Sequence[DevQuery]) -> float:
    """The mean nDCG@10 of the model as it is, by the readout of inference and without a copy of its weights.

    Args:
        model: in training or not; it is as before when this returns.
        tokenizer: its own.
        plan: whose recipe is asked; with reasoning where the plan learns it.
        queries: see there.
    """
    assert plan.watch is not None
    network = model.get_base_model() if hasattr(model, "get_base_model") else model
    with _evaluating(model), _autocast(model, plan):
        backend = TransformersBackend.over(network, tokenizer)
        reading: Thinking = "full" if plan.reasoning and plan.watch.reasoning else "none"
        reranker = Reranker(
            plan.recipe,
            backend=backend,
            template=template_of(plan).name,  # what it learns, whatever its base could be asked with
            reasoning=reading if plan.reasoning or OBJECTIVES[plan.objective].judges_passages else None,
            max_reasoning_tokens=plan.watch.max_reasoning_tokens if reading == "full" else None,
        )
        rankings = reranker.rank_many((query.query, list(query.documents)) for query in queries)
    values = []
    for query, ranking in zip(queries, rankings, strict=True):
        ids = (document.id for document in query.documents)
        grades = dict(zip(ids, query.grades, strict=True))
        values.append(ndcg([grades[name] for name in ranking.ids]))
    return sum(values) / len(values)


def best_step(folder: Path) -> tuple[int, float] | None:
    """The step with the highest nDCG@10 that the run's history holds, the first of equal ones."""
    values = _measured(folder)
    return max(values, key=lambda pair: (pair[1], -pair[0])) if values else None


def watcher(plan: Plan, tokenizer: Any, queries: Sequence[DevQuery], folder: Path) -> Any:
    """A callback that ranks at every checkpoint, logs nDCG@10 and stops a run that gets no better.

    Args:
        plan: with `watch`.
        tokenizer: the model's.
        queries: see `dev_queries`.
        folder: of the run, whose history says what was measured before.
    """
    transformers: Any = require("transformers", "training", "training")
    assert plan.watch is not None
    patience = plan.watch.patience

    class DevRankingCallback(transformers.TrainerCallback):  # type: ignore[misc]  # the library is not typed here
        """Logs through the trainer, so that every log has it; `attach` gives it the trainer."""

        trainer: Any = None

        def attach(self, trainer: Any) -> None:
            self.trainer = trainer

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if is_spread():
                raise InputError(
                    "weights that are spread over processes cannot be ranked with: leave the table watch "
                    "out, and measure the checkpoints afterwards"
                )
            if state.global_step and state.global_step not in dict(_measured(folder)):
                self._measure(model)  # it was killed between the checkpoint and its measurement
            self._stop_if_stale(control)

        def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self._measure(model)
            self._stop_if_stale(control)

        def _measure(self, model: Any) -> None:
            value = _from_main(lambda: rank_live(model, tokenizer, plan, queries))
            self.trainer.log({MEASURE: value})

        def _stop_if_stale(self, control: Any) -> None:
            if patience is None:
                return
            values = _from_main(lambda: [value for _, value in _measured(folder)])
            if values and len(values) - 1 - values.index(max(values)) >= patience:
                control.should_training_stop = True

    return DevRankingCallback()


def is_spread() -> bool:
    """Whether the launcher spreads each weight over the processes (FSDP, ZeRO-3)."""
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return any(os.environ.get(name, "false").lower() in ("1", "true") for name in names)


def restore(model: Any, checkpoint: Path) -> None:
    """Put a checkpoint's weights into a model that is in memory.

    Raises:
        InputError: the folder holds no weights that fit.
    """
    load_file = require("safetensors.torch", "training", "checkpoints").load_file
    adapter, whole = checkpoint / "adapter_model.safetensors", sorted(checkpoint.glob("model*.safetensors"))
    if adapter.is_file() and hasattr(model, "peft_config"):
        peft = require("peft", "training", "LoRA")
        peft.set_peft_model_state_dict(model, load_file(adapter))
    elif whole:
        for part in whole:
            if model.load_state_dict(load_file(part), strict=False).unexpected_keys:
                raise InputError(f"{part} holds weights of another model")
    else:
        raise InputError(f"{checkpoint} holds no weights of this model")


# ---- inside -------------------------------------------------------------------------------------


def _measured(folder: Path) -> list[tuple[int, float]]:
    entries = read_history(folder / HISTORY)
    return [(int(entry["step"]), entry[MEASURE]) for entry in entries if MEASURE in entry]


def _all(plan: Plan, rows: str | os.PathLike[str]) -> Iterator[DevQuery]:
    if OBJECTIVES[plan.objective].judges_passages:
        together: dict[str, tuple[list[str], list[float]]] = {}
        for row in read_passage_rows(rows, traces=False, scores=plan.teacher is not None):
            if row.relevant is not None and is_dev(row.query, plan):
                passages, grades = together.setdefault(row.query, ([], []))
                passages.append(row.passage)
                grades.append(float(row.relevant))
        for query, (texts, grades) in together.items():
            documents = tuple(Document(text, id=str(i)) for i, text in enumerate(texts))
            yield DevQuery(Query(query), documents, tuple(grades))
        return
    for group in read_groups(rows):
        if is_dev(group.query, plan):
            asked, shown = group.query_and_documents()
            documents = tuple(Document(d.text, id=str(i), title=d.title) for i, d in enumerate(shown))
            yield DevQuery(asked, documents, _grades(group))


def _grades(group: Any) -> tuple[float, ...]:
    """The passages' own grades, or 1 for the one that is best where there are none."""
    grades: dict[int, float] = group.grades
    if grades:
        return tuple(grades.get(i, 0.0) for i in range(len(group.passages)))
    return tuple(float(i == group.chosen()) for i in range(len(group.passages)))


def _ids(rows: str | os.PathLike[str]) -> Iterator[str]:
    for _, row in read_rows(rows):
        for key in ("id", "query_id"):
            if isinstance(row.get(key), str):
                yield row[key]


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """In eval mode; every module is as it was afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _autocast(model: Any, plan: Plan) -> Iterator[None]:
    """Products in the plan's precision: what is trained is held in 32 bits, the rest perhaps in 16."""
    torch = require("torch", "training", "training")
    kind = next(model.parameters()).device.type
    with torch.autocast(kind, getattr(torch, plan.precision), enabled=plan.precision != "float32"):
        yield


def _from_main(compute: Any) -> Any:
    """What the main process computes: all processes must decide alike, or they wait for each other."""
    torch = require("torch", "training", "training")
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return compute()
    results = [compute() if distributed.get_rank() == 0 else None]
    distributed.broadcast_object_list(results, src=0)
    return results[0]
