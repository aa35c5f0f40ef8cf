"""The command `limrank` as it is installed, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def limrank(work: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with a cache there; it ends with this code and without a traceback."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("limrank")), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=work,
        env={**os.environ, "LIMRANK_CACHE": str(work / "cache"), "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done
