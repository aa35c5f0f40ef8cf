"""What `limrank prompt show` prints: the prompt's bytes in a pipe, and a whole line on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="needs a system with pseudo-terminals")
COMMAND = [str(Path(sys.executable).with_name("limrank")), "prompt", "show", "limrank"]
COMMAND += ["--query", "why does milk curdle", "--document", "Acid does it."]


def test_the_shell_goes_on_on_a_line_of_its_own():
    piped = subprocess.run(COMMAND, capture_output=True, check=True).stdout
    assert not piped.endswith(b"\n"), "the prompt itself ends in its line"
    ours, theirs = pty.openpty()
    done = subprocess.run(COMMAND, stdout=theirs, check=True)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(ours)
    assert done.returncode == 0
    assert shown.replace(b"\r\n", b"\n") == piped + b"\n"
