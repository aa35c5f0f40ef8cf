"""Benchmarks from the hub or from a folder of the same schema, with their counts checked."""

from __future__ import annotations

from limrank_evals.loaders.beir import BEIR_SETS, load_beir, load_folder
from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.loaders.bright import BRIGHT_TASKS, load_bright
from limrank_evals.loaders.followir import FOLLOWIR_TASKS, load_followir
from limrank_evals.loaders.litsearch import load_litsearch
from limrank_evals.loaders.mbeir import MBEIR_TASKS, load_mbeir
from limrank_evals.loaders.mmdocir import MMDOCIR_DOMAINS, layout_recall, load_mmdocir
from limrank_evals.loaders.multiple_choice import MultipleChoice, load_gpqa, load_questions
from limrank_evals.loaders.r2med import R2MED_TASKS, load_r2med
from limrank_evals.loaders.rankify import load_rankify
from limrank_evals.loaders.trec_dl import TREC_DL, load_trec_dl
from limrank_evals.loaders.webqa import WEBQA_SPLITS, load_webqa

__all__ = [
    "BEIR_SETS",
    "BRIGHT_TASKS",
    "FOLLOWIR_TASKS",
    "MBEIR_TASKS",
    "MMDOCIR_DOMAINS",
    "R2MED_TASKS",
    "TREC_DL",
    "WEBQA_SPLITS",
    "Benchmark",
    "MultipleChoice",
    "layout_recall",
    "load_beir",
    "load_bright",
    "load_folder",
    "load_followir",
    "load_gpqa",
    "load_litsearch",
    "load_mbeir",
    "load_mmdocir",
    "load_questions",
    "load_r2med",
    "load_rankify",
    "load_trec_dl",
    "load_webqa",
]
