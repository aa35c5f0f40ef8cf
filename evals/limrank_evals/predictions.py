"""mteb's predictions files, one for each task: `{task}_predictions.json`.

mteb 2 writes them where `prediction_folder` is given and reads them in `task.convert_to_reranking`:

    {"mteb_model_meta": {"model_name": …, "revision": …}, subset: {split: {query: {document: score}}}}

mteb 1 wrote `{query: {document: score}}` alone. `limrank_evals.runs.read_run_lines` reads both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.outputs import write_whole

META = "mteb_model_meta"


def write_predictions(
    folder: str | os.PathLike[str],
    task: str,
    runs: Mapping[str, Mapping[str, Mapping[str, list[Any]]]],
    *,
    model: str,
    revision: str = "unknown",
) -> Path:
    """Write runs as mteb's predictions of a task, for `task.convert_to_reranking(folder, top_k=…)`.

    Args:
        folder: where to; mteb finds the file in it by the task's name.
        task: its name in mteb.
        runs: `limrank_evals.runs.read_run_lines` by subset (`"default"` where a task has one) and split. mteb
            sorts by score and keeps equal ones as they stand: they are written in the order of their ranks.
        model: what found them.
        revision: of that.

    Returns:
        The file.

    Raises:
        InputError: no run, or a subset of the name of mteb's own entry.
    """
    if META in runs or not any(by for splits in runs.values() for by in splits.values()):
        raise InputError(f"predictions need at least one run, by subset (not {META!r}) and split")
    content: dict[str, Any] = {META: {"model_name": model, "revision": revision}}
    for subset, splits in runs.items():
        content[subset] = {
            split: {
                query: {
                    row.document_id: row.score for row in sorted(rows, key=lambda row: (-row.score, row.rank))
                }
                for query, rows in queries.items()
            }
            for split, queries in splits.items()
        }
    path = Path(folder) / f"{task}_predictions.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, allow_nan=False).encode("ascii"))
    return path


def one_split(
    scores: Mapping[str, Any], where: str, subset: str | None = None, split: str | None = None
) -> Any:
    """What a predictions file of mteb 2 holds of one split; the whole of any other score file.

    Args:
        scores: the file's JSON.
        where: its name, for messages.
        subset: which; None where the file holds one alone.
        split: likewise.

    Raises:
        InputError: there is no such split, there are several and none is named, or the file has none.
    """
    if META not in scores:
        if subset is not None or split is not None:
            raise InputError(f"{where} is no predictions file of mteb 2: it has no subsets and splits")
        return scores
    held = [
        (name, inner)
        for name, splits in scores.items()
        if name != META and isinstance(splits, dict)
        for inner in splits
    ]
    named = [(name, inner) for name, inner in held if subset in (None, name) and split in (None, inner)]
    if len(named) != 1:
        names = ", ".join(f"{name}/{inner}" for name, inner in held) or "nothing"
        raise InputError(f"{where} holds {names}: name the subset and the split that are meant")
    (name, inner) = named[0]
    return scores[name][inner]
