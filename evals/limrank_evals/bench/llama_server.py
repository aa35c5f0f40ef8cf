"""`llama-server` of llama.cpp on loopback, asked for the same texts as our backend `llama-cpp`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from limrank_plugins.errors import BackendError, InputError

_PATIENCE = 120.0
_OPENER = build_opener(ProxyHandler({}))  # loopback is asked directly whatever proxy there is


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A server that is up.

    Attributes:
        address: of it.
        process: its number.
        slots: how many texts it writes at a time.
    """

    address: str
    process: int
    slots: int

    def write(self, rows: Sequence[Sequence[int]], most_tokens: int) -> list[tuple[str, int]]:
        """Greedy texts behind these tokens, all asked for at once, and how many tokens each has.

        Prompts are read anew each time: it would find those of the round before.
        """
        with ThreadPoolExecutor(len(rows)) as threads:
            return list(threads.map(lambda row: self._written(row, most_tokens), rows))

    def clock(self) -> float:
        """Seconds for which this process and the server kept processors busy."""
        fields = Path(f"/proc/{self.process}/stat").read_text("ascii").rpartition(")")[2].split()
        return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _written(self, row: Sequence[int], most_tokens: int) -> tuple[str, int]:
        asked = {"prompt": list(row), "n_predict": most_tokens, "temperature": 0.0, "cache_prompt": False}
        body = json.dumps(asked).encode("ascii")
        request = Request(f"{self.address}/completion", body, {"Content-Type": "application/json"})
        with _OPENER.open(request) as answer:
            said = json.load(answer)
        return str(said["content"]), int(said["tokens_predicted"])


@contextmanager
def llama_server(
    program: Path, gguf: Path, *, slots: int, length: int, threads: int
) -> Iterator[LlamaServer]:
    """Start the program and end it.

    Args:
        program: `llama-server` of llama.cpp.
        gguf: the model.
        slots: texts that are written at a time.
        length: tokens of a prompt and what is written behind it.
        threads: that compute.

    Raises:
        InputError: there is no such program, or no /proc to read its seconds from.
        BackendError: it ended, or did not come up.
    """
    if not Path("/proc/self/stat").is_file():
        raise InputError("the seconds of llama-server are read from /proc, which this system lacks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [str(program), "-m", str(gguf), "--host", "127.0.0.1", "--port", str(port), "-np", str(slots)]
    words += ["-c", str(slots * length), "-t", str(threads), "-tb", str(threads)]
    try:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise InputError(f"{program} cannot be started: {error.strerror}") from error
    try:
        server = LlamaServer(f"http://127.0.0.1:{port}", process.pid, slots)
        _wait(lambda: _is_up(server.address), process, program)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(is_up: Callable[[], bool], process: subprocess.Popen[bytes], program: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not is_up():
        if process.poll() is not None:
            raise BackendError(f"{program} ended with code {process.returncode} before it could be asked")
        if time.monotonic() > end:
            raise BackendError(f"{program} could not be asked within {_PATIENCE:.0f} seconds")
        time.sleep(0.1)


def _is_up(address: str) -> bool:
    try:
        with _OPENER.open(f"{address}/health") as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False
