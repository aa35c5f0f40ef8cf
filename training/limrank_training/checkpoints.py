"""Which checkpoints are whole: one that a kill cut short is never gone on from, nor taken for a good one.

The library writes a checkpoint file by file under its final name. So each gets a mark when all of it is
written, which lists its files with their sizes; one without a mark, or with other files, does not count.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError, require
from limrank_plugins.files import read_json
from limrank_plugins.outputs import write_whole

MARK = "whole.json"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    checkpoints = [
        (int(place.name.removeprefix("checkpoint-")), place)
        for place in folder.glob("checkpoint-*")
        if place.name.removeprefix("checkpoint-").isdigit() and is_whole(place)
    ]
    return max(checkpoints)[1] if checkpoints else None


def is_whole(checkpoint: Path) -> bool:
    """Whether all that its mark lists is there."""
    try:
        listed = read_json(checkpoint / MARK)
    except InputError:
        return False
    return isinstance(listed, dict) and bool(listed) and _files(checkpoint) == listed


def discard_newer(folder: Path, keep: Path | None) -> None:
    """Remove the checkpoints that are newer than this one; all, where it is None."""
    last = -1 if keep is None else int(keep.name.removeprefix("checkpoint-"))
    for place in folder.glob("checkpoint-*"):
        step = place.name.removeprefix("checkpoint-")
        if step.isdigit() and int(step) > last:
            # Without its mark it counts for nothing, should this be cut short.
            (place / MARK).unlink(missing_ok=True)
            shutil.rmtree(place)


def checkpoint_marks(folder: Path, resumed: Path | None = None) -> Any:
    """A callback of `transformers` that marks a checkpoint as whole once every process has written.

    Right before the first one is written, those that another run left and this one did not go on from are
    removed: written over file by file they would be neither old nor new on the way. Until then they stay.

    Args:
        folder: of the run's checkpoints.
        resumed: the one that the run goes on from.
    """
    transformers: Any = require("transformers", "training", "training")

    class CheckpointMarks(transformers.TrainerCallback):  # type: ignore[misc]  # the library is not typed here
        """Must come before callbacks that take their time over a checkpoint."""

        last: Path | None = resumed

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if control.should_save:
                if state.is_world_process_zero:
                    discard_newer(folder, self.last)
                _together()

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.on_step_end(args, state, control)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            _together()
            self.last = folder / f"checkpoint-{state.global_step}"
            if state.is_world_process_zero:
                write_whole(self.last / MARK, json.dumps(_files(self.last)).encode("ascii"))

    return CheckpointMarks()


def is_main() -> bool:
    """Whether this is the process that writes: the only one, or the first of several."""
    distributed = require("torch", "training", "training").distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank()) == 0
    return os.environ.get("RANK", "0") == "0"


def _together() -> None:
    """Wait for the other processes, where there are any."""
    distributed = require("torch", "training", "training").distributed
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


def _files(checkpoint: Path) -> dict[str, int]:
    """All files and their sizes, but for the mark and what is written beside a file."""
    return {
        file.relative_to(checkpoint).as_posix(): file.stat().st_size
        for file in sorted(checkpoint.rglob("*"))
        if file.is_file() and not file.name.startswith(f".{MARK}") and file.name != MARK
    }
