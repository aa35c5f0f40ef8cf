"""`python killed.py`: `limrank train` many times over, each in a process of its own that may kill itself.

Each line of stdin is a JSON list: a folder, PLACE, NUMBER and the arguments of `limrank`. PLACE is a step of
writing a checkpoint; the NUMBER-th time it is reached the process dies by SIGKILL, so that nothing is tidied
up. `state` and `tensors` die with half of a file on the disk. Importing is slow and done once: each run is a
fork of this process. A line of stdout answers: the exit status, negative for a signal, and the end of what
the run printed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import peft  # noqa: F401  # with all else that a run imports
import torch
import transformers
from transformers import Qwen2ForCausalLM, Trainer  # noqa: F401

from limrank_plugins.cli import main as limrank
from limrank_training import checkpoints, dev_ranking, estimate, model_export, training_data, training_run  # noqa: F401  # noqa: F401


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


def doom(place: str, number: int) -> None:
    """Have this process die there."""
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
    elif place == "marked":
        original = checkpoints.write_whole
        left = [number]

        def marked(*arguments: Any) -> None:
            original(*arguments)
            left[0] -= 1
            if left[0] == 0:
                die()

        checkpoints.write_whole = marked


def run_once(folder: str, place: str, number: int, arguments: list[str], log: Path) -> None:
    """What a process of `limrank` does; this one never returns."""
    status = 1
    try:
        with log.open("wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.chdir(folder)
        sys.argv = ["limrank", *arguments]
        doom(place, number)
        limrank()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        folder, place, number, *arguments = json.loads(line)
        log = Path(folder) / "log.txt"
        child = os.fork()
        if child == 0:
            run_once(folder, place, int(number), arguments, log)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = log.read_text("utf-8", "replace")[-4000:]
        sys.stdout.write(json.dumps([status, said]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
