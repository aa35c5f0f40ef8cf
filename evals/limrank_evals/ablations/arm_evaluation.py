"""What an arm's exported folder is evaluated on, by the benchmarks of `limrank eval NAME`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limrank_evals.comparison import Resampling
from limrank_evals.measures import parse_measure
from limrank_evals.pmrr import NAME as P_MRR
from limrank_plugins.backends import OPTIONS_OF_FILES
from limrank_plugins.checks import options_of_file
from limrank_plugins.errors import InputError
from limrank_plugins.io import write_run
from limrank_plugins.unread import Unread

if TYPE_CHECKING:
    from limrank_evals.splits import Split
    from limrank_plugins.store import Store

RANKINGS = "rankings.jsonl"
# What an export's card says, or what only says where it runs: an arm must not be asked in another way.
_OF_CARD = ("recipe", "model", "backend", "store", "template")
_OF_RERANKER = {
    "reasoning", "budget", "samples", "seed", "temperature", "top_p", "max_reasoning_tokens",
    "cut_to_sentence", "instruction", "on_failure", "chunks",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A benchmark and how it is run, the same for every arm.

    Attributes:
        benchmark: as in `limrank eval NAME`; `folder` for one of your own.
        source: the benchmark's folder or hub repository; "" for its own.
        splits: which; () for all.
        options: the benchmark's own, by name.
        first_stage: what finds the candidates; "" for the benchmark's own choice.
        depth: how many of them are reranked; None for the benchmark's own choice.
        measures: the one that plots show first; () for the benchmark's own.
        instruct: ask with the benchmark's own instruction, where it has one and `reranker` names none.
        reranker: arguments of `Reranker` beside those of the export's card (`max_reasoning_tokens`,
            `samples`, `dtype`, …).
        level: of the intervals.
        resamples: of the bootstrap and of the randomisation test.
        seed: of both.
    """

    benchmark: str = "folder"
    source: str = ""
    splits: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    first_stage: str = ""
    depth: int | None = None
    measures: tuple[str, ...] = ()
    instruct: bool = True
    reranker: Mapping[str, Any] = field(default_factory=dict)
    level: float = 0.95
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        decided = sorted(set(self.reranker) & set(_OF_CARD))
        if decided:
            raise InputError(f"evaluate.reranker cannot set {decided[0]!r}: an arm's export decides it")

    def as_json(self) -> dict[str, Any]:
        """The settings as plain data."""
        return asdict(self)


def evaluation_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The table as the dataclass takes it: a single split or measure may stand without its list.

    Raises:
        InputError: an argument of the reranker that no file may set.
    """
    if isinstance(reranker := values.get("reranker"), Mapping):
        options_of_file("evaluate.reranker", reranker, _OF_RERANKER | OPTIONS_OF_FILES | set(_OF_CARD))
    lists = {name: values[name] for name in ("splits", "measures") if name in values}
    return {**values, **{name: [value] if isinstance(value, str) else value for name, value in lists.items()}}


class ArmEvaluator:
    """Evaluates exported folders, one after another, on the same splits.

    Args:
        evaluation: see there.
        store: keeps what was found and ranked, so that a killed evaluation goes on; may be set later.
        device: where the models run; None: the backend's own choice.
        batch: queries ranked in lockstep.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        store: Store | None = None,
        *,
        device: str | None = None,
        batch: int = 1,
    ) -> None:
        self.evaluation, self.store = evaluation, store
        self.device, self.batch = device, batch
        self._held: tuple[str, Split] | None = None

    @cached_property
    def texts(self) -> dict[str, str]:
        """By split a digest of its texts, judgements and exclusions: arms are compared on the same ones.

        Whatever is wrong with the evaluation shows here, before anything is trained.

        Raises:
            InputError: there is no such benchmark, source, option, split, first stage or measure.
        """
        from limrank_evals.evaluation.first_stages import open_first_stage

        for name in self.evaluation.measures:
            if name != P_MRR:
                parse_measure(name)
        digests = {}
        for name in self._splits:
            split = self._split(name)
            stage = open_first_stage(split, self.evaluation.first_stage)
            pieces = [stage.digest, split.judgements_digest, split.instruction, split.queries]
            digests[name] = hashlib.sha256(json.dumps(pieces).encode("ascii")).hexdigest()
        return digests

    def evaluate(self, model: Path, folder: Path) -> dict[str, Any]:
        """Evaluate an export.

        Args:
            model: its folder.
            folder: gets rankings by split.

        Returns:
            As JSON: `values` and `first` (a number for every query, by split and measure, of the arm and of
            the first stage), `results`, `failures`, `warnings`, `unread`.
        """
        from limrank_evals.evaluation.evaluator import evaluate
        from limrank_plugins.reranker import Reranker

        e = self.evaluation
        device = {} if self.device is None else {"device": self.device}
        record: dict[str, Any] = {"values": {}, "first": {}, "results": [], "failures": 0, "warnings": []}
        unread = Unread()
        reranker = Reranker.from_pretrained(str(model), store=self.store, **{**e.reranker, **device})
        try:
            for name in self._splits:
                outcome = evaluate(
                    self._split(name),
                    reranker,
                    first_stage=e.first_stage,
                    depth=e.depth,
                    measures=e.measures,
                    instruct=e.instruct and "instruction" not in e.reranker,
                    store=self.store,
                    batch=self.batch,
                    resampling=Resampling(e.level, e.resamples, e.seed),
                )
                if not outcome.gated:
                    write_run(folder / name / RANKINGS, outcome.records)
                for key, scored in (("values", outcome.last), ("first", outcome.first)):
                    record[key][name] = {m: dict(of) for m, of in scored.measured.per_query.items()}
                record["results"] += [result.as_json() for result in outcome.results]
                record["failures"] += outcome.failures
                unread += outcome.unread
                record["warnings"] += [f"{name}: {warning}" for warning in outcome.warnings]
        finally:
            reranker.close()
        return {**record, "unread": asdict(unread)}

    @cached_property
    def _task(self) -> tuple[Any, str, dict[str, Any]]:
        """The benchmark, its source, and all of its options."""
        from limrank_evals.tasks import load_task

        e = self.evaluation
        task = load_task(e.benchmark)
        source = e.source or task.source
        if not source:
            raise InputError(f"benchmark {e.benchmark!r} needs a source: name its folder")
        defaults = {option.name: option.default for option in task.options()}
        unknown = sorted(set(e.options) - set(defaults))
        if unknown:
            known = ", ".join(defaults) or "none"
            raise InputError(f"benchmark {e.benchmark!r} has no option {unknown[0]!r}; it has {known}")
        return task, source, {**defaults, **e.options}

    @cached_property
    def _splits(self) -> list[str]:
        task, source, options = self._task
        chosen: list[str] = task.choose_splits(self.evaluation.splits, source, options)
        return chosen

    def _split(self, name: str) -> Split:
        """A split; the last one is kept, as one alone may be gigabytes."""
        if self._held is None or self._held[0] != name:
            task, source, options = self._task
            self._held = None
            stage = self.evaluation.first_stage
            split = task.load_split(name, source, strict=True, first_stage=stage, **options)
            self._held = (name, split)
        return self._held[1]
