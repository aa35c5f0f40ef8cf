"""What `llama-server` is asked, and what is said where it cannot be had; the program is not here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from limrank_command import limrank
from servers import Answer, Call, LoopbackServer

from limrank_evals.bench.llama_server import LlamaServer, llama_server
from limrank_plugins.errors import BackendError, InputError

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")


def test_each_prompt_is_one_greedy_text_in_its_place() -> None:
    def reply(call: Call) -> Answer:
        first = call.body["prompt"][0]
        assert call.path == "/completion"
        assert (call.body["temperature"], call.body["n_predict"]) == (0.0, 9)
        return Answer({"content": f"text {first}", "tokens_predicted": first})

    with LoopbackServer(reply) as server:
        there = LlamaServer(server.url.removesuffix("/v1"), os.getpid(), 2)
        assert there.write([[7, 1], [5, 1], [6, 1]], 9) == [("text 7", 7), ("text 5", 5), ("text 6", 6)]
        assert there.clock() > 0


@pytest.mark.parametrize(
    ("program", "error", "said"),
    [
        ("/nowhere/llama-server", InputError, "/nowhere/llama-server cannot be started: No such file"),
        ("false", BackendError, "ended with code 1 before it could be asked"),
    ],
)
def test_a_program_that_does_not_come_up_is_said(
    program: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "false"
    file.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    file.chmod(0o755)
    place = file if program == "false" else Path(program)
    starting = llama_server(place, tmp_path / "m.gguf", slots=1, length=9, threads=1)
    with pytest.raises(error, match=said), starting:
        pass


def test_file_and_program_go_together(tmp_path: Path) -> None:
    refused = limrank(tmp_path, "bench", "generation", "--gguf", "model.gguf", code=2)
    assert "--gguf and --llama-server go together" in refused.stderr
