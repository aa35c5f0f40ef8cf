"""Starts the process of a cell and listens to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any


def run_cell(order: Mapping[str, Any], progress: Callable[[int, int], None]) -> str:
    """Have a cell worked on by a process of its own.

    Args:
        order: see `limrank_evals.zoo.cell.work`.
        progress: called with (finished, all) queries.

    Returns:
        Why it failed; "" where it did not.
    """
    # -P: a folder that this is run in must not bring modules of its own.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "limrank_evals.zoo.cell"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    failed = ""
    try:
        with suppress(BrokenPipeError):  # it is gone already; its exit code says how
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            message = json.loads(line)
            if "progress" in message:
                progress(*message["progress"])
            failed = message.get("failed", failed)
        code = process.wait()
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):  # what it was sent and never read
                stream.close()
        process.wait()
    if failed or code == 0:
        return failed
    if code < 0:
        return f"its process was ended by signal {-code} ({signal.strsignal(-code)}): not enough memory?"
    return f"its process ended with code {code}; what it said stands above"
