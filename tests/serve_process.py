"""`limrank serve` as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from serving import LONGEST


class Process:
    """A server that answers; `printed` is what it said before."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.printed: list[str] = []
        while not self.printed or not self.printed[-1].startswith("curl "):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            self.printed.append(line)
        found = re.search(r"http://\S+(?=/rerank;)", "".join(self.printed))
        assert found is not None
        self.url = found[0]

    def end(self, *signals: int) -> tuple[int, str]:
        for sent in signals:
            self.process.send_signal(sent)
        _, errors = self.process.communicate(timeout=LONGEST)
        assert "Traceback" not in errors
        return self.process.returncode, errors


@contextmanager
def process(*arguments: object) -> Iterator[Process]:
    command = [sys.executable, "-m", "limrank_plugins", "serve", "--port", "0", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as started:
        try:
            yield Process(started)
        finally:
            started.kill()
