"""Benchmarks, measures, comparisons: numbers that say what they are of and how sure they are.

See docs/evaluation.md; `limrank eval --help` lists the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.lazy import exports

if TYPE_CHECKING:
    from limrank_evals.evaluation.evaluator import evaluate as evaluate
    from limrank_evals.evaluation.split_evaluation import SplitEvaluation as SplitEvaluation
    from limrank_evals.loaders.benchmark import Benchmark as Benchmark
    from limrank_evals.splits import Split as Split
    from limrank_evals.tasks import load_task as load_task

# Imported when they are asked for: scoring a run needs none of the reranker.
_WHERE = {
    "Benchmark": "loaders.benchmark",
    "SplitEvaluation": "evaluation.split_evaluation",
    "Split": "splits",
    "evaluate": "evaluation.evaluator",
    "load_task": "tasks",
}
__all__ = sorted(_WHERE)

__getattr__ = exports(__name__, _WHERE)
