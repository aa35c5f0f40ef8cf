"""The filters that `limrank synth run` applies, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limrank_synth.filters import Filter
from limrank_synth.filters.agreement import Agreement
from limrank_synth.settings import Settings


def usual_filters(settings: Settings, evaluation: Sequence[Path]) -> list[Filter]:
    """All filters with their usual limits.

    Args:
        settings: of the run.
        evaluation: files of queries that no row may repeat.
    """
    return [Agreement()]
