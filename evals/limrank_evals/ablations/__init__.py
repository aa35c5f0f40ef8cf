"""Ablations: arms of training rows, each trained, exported, evaluated and compared with a reference arm."""

from __future__ import annotations

from limrank_evals.ablations.arms import Ablation, Arm, ablation_names, load_ablation

__all__ = ["Ablation", "Arm", "ablation_names", "load_ablation"]
