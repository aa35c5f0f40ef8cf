"""`python killed.py PLACE NUMBER train …`: `limrank`, which kills itself where a checkpoint is being written.

PLACE is a step of writing one; the NUMBER-th time it is reached the process dies by SIGKILL, so that nothing
is tidied up. `state` and `tensors` die with half of a file on the disk.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def counted(number: int, before: Any, original: Any) -> Any:
    """The original, but at its NUMBER-th call `before` is called first."""
    left = [number]

    def called(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            before(*arguments)
        return original(*arguments, **named)

    return called


def main() -> None:
    place, number = sys.argv[1], int(sys.argv[2])
    sys.argv = ["limrank", *sys.argv[3:]]
    import torch
    import transformers

    from limrank_plugins.cli import main as limrank
    from limrank_training import checkpoints

    torch.set_num_threads(1)
    if place == "tensors":  # optimiser, schedule, random state: half a file

        def half(_: Any, target: Any, *rest: Any) -> None:
            Path(os.fspath(target)).write_bytes(b"PK\x03\x04 half a file")
            die()

        torch.save = counted(number, half, torch.save)
    elif place == "state":

        def begun(_: Any, target: str) -> None:
            Path(target).write_text('{"global_step": 2, "log_hist')
            die()

        state = transformers.TrainerState
        state.save_to_json = counted(number, begun, state.save_to_json)
    elif place == "unmarked":  # all is written, the mark is not
        checkpoints.write_whole = counted(number, lambda *_: die(), checkpoints.write_whole)
    elif place == "discarding":  # what another run left is being removed

        def discard(folder: Path, keep: Path | None) -> None:
            first = min(p for p in folder.glob("checkpoint-*"))
            (first / checkpoints.MARK).unlink()
            die()

        checkpoints.discard_newer = counted(number, discard, checkpoints.discard_newer)
    elif place == "marked":
        original = checkpoints.write_whole
        left = [number]

        def marked(*arguments: Any) -> None:
            original(*arguments)
            left[0] -= 1
            if left[0] == 0:
                die()

        checkpoints.write_whole = marked
    limrank()


if __name__ == "__main__":
    main()
