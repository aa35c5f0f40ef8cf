"""Benchmarks, measures, comparisons: numbers that say what they are of and how sure they are.

See docs/evaluation.md; `limrank eval --help` lists the commands.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limrank_evals.evaluation.evaluator import evaluate as evaluate
    from limrank_evals.evaluation.split_evaluation import SplitEvaluation as SplitEvaluation
    from limrank_evals.loaders.benchmark import Benchmark as Benchmark
    from limrank_evals.splits import Split as Split
    from limrank_evals.tasks import load_task as load_task

# Imported when they are asked for: scoring a run needs none of the reranker.
_WHERE = {
    "Benchmark": "limrank_evals.loaders.benchmark",
    "SplitEvaluation": "limrank_evals.evaluation.split_evaluation",
    "Split": "limrank_evals.splits",
    "evaluate": "limrank_evals.evaluation.evaluator",
    "load_task": "limrank_evals.tasks",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
