"""Benchmarks from the hub or from a folder of the same schema, with their counts checked."""

from __future__ import annotations

from limrank_evals.loaders.beir import load_folder
from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.loaders.bright import BRIGHT_TASKS, load_bright
from limrank_evals.loaders.followir import FOLLOWIR_TASKS, load_followir
from limrank_evals.loaders.litsearch import load_litsearch
from limrank_evals.loaders.multiple_choice import MultipleChoice, load_gpqa, load_questions

__all__ = [
    "BRIGHT_TASKS",
    "FOLLOWIR_TASKS",
    "Benchmark",
    "MultipleChoice",
    "load_bright",
    "load_folder",
    "load_followir",
    "load_gpqa",
    "load_litsearch",
    "load_questions",
]
