"""`limrank serve` as a process: what it prints, what ends it, and that nothing accepted is lost then."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from limrank_command import limrank
from rerank_servers import cohere_like, score
from serve_process import process
from servers import Call, LoopbackServer
from serving import LONGEST, QUERY, TEXTS

from limrank_plugins.cli.serve import read_tokens
from limrank_plugins.cli.serving import named_recipes
from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.server import require_extra

ASKED = {"query": QUERY, "documents": TEXTS}


def upstream(model: LoopbackServer) -> Sequence[str]:
    return ("--recipe", "rerank-api:scores=probability", "--model", "m", "--option", f"base_url={model.url}")


NAME = "rerank-api:scores=probability"


async def gated(call: Call) -> Any:
    """Answers once the gate is open."""
    await GATES[0].gate.wait()
    return cohere_like(call)


GATES: list[LoopbackServer] = []


def printed_by(line: str) -> str:
    """What a line for curl prints."""
    line = line.replace("curl ", "curl --silent --noproxy '*' ", 1)
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout


def test_it_prints_where_it_is_and_a_line_that_works():
    with LoopbackServer(cohere_like) as model, process(*upstream(model)) as server:
        assert f"serving {NAME} at {server.url}/rerank" in server.printed[0]
        assert '"relevance_score"' in printed_by(server.printed[1])
        answered = httpx.post(f"{server.url}/v2/rerank", json=ASKED, timeout=LONGEST, trust_env=False).json()
        assert [r["relevance_score"] for r in answered["results"]] == sorted(map(score, TEXTS), reverse=True)
        assert server.end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_loses_nothing_that_was_accepted(sent: int):
    with LoopbackServer(gated) as model, process(*upstream(model)) as server, ThreadPoolExecutor(8) as pool:
        GATES[:] = [model]
        clients = [httpx.Client(base_url=server.url, timeout=LONGEST, trust_env=False) for _ in range(8)]
        for client in clients:
            assert client.get("/ready").status_code == 200
        accepted = [pool.submit(client.post, "/rerank", json=ASKED) for client in clients[:7]]
        model.wait_for(lambda model: model.now == 7)
        server.process.send_signal(sent)
        late = clients[7]
        while late.get("/ready").status_code != 503:
            pass
        refused = late.post("/rerank", json=ASKED)
        assert refused.status_code == 503
        assert "is about to end" in refused.json()["detail"]
        assert refused.headers["retry-after"] == "1"
        assert not any(future.done() for future in accepted)
        model.open()
        for future in accepted:
            done = future.result(LONGEST)
            assert done.status_code == 200
            assert len(done.json()["results"]) == len(TEXTS)
        assert server.end()[0] == 0
        for client in clients:
            client.close()


def test_a_second_signal_ends_it_at_once():
    with LoopbackServer(gated) as model, process(*upstream(model)) as server, ThreadPoolExecutor(1) as pool:
        GATES[:] = [model]
        url = f"{server.url}/rerank"
        accepted = pool.submit(httpx.post, url, json=ASKED, timeout=LONGEST, trust_env=False)
        model.wait_for(lambda model: model.now == 1)
        server.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{server.url}/ready", timeout=LONGEST, trust_env=False).status_code != 503:
            pass
        code, errors = server.end(signal.SIGTERM)
        assert code == 1
        assert "ended by a second signal" in errors
        with suppress(httpx.TransportError):  # the connection ended first
            assert accepted.result(LONGEST).status_code == 500


def test_tokens_names_and_limits(tmp_path: Path):
    tokens = tmp_path / "tokens of mine"
    tokens.write_text("# ours\n\n  # and\n first-token-123\r\nsecond-token-456\n", encoding="utf-8")
    with (
        LoopbackServer(cohere_like) as model,
        process(
            *upstream(model), "--named", "again=prior", "--token-file", tokens,
            "--allow-host", "ranker.example", "--max-documents", 2, "--queue", 5, "--seconds", 30,
        ) as server,
    ):  # fmt: skip
        assert "first-token" not in "".join(server.printed)
        assert f"'{tokens}'" in server.printed[1]
        assert '"relevance_score"' in printed_by(server.printed[1])
        with httpx.Client(base_url=server.url, trust_env=False, timeout=LONGEST) as client:
            assert client.post("/rerank", json=ASKED).status_code == 401
            client.headers["Authorization"] = "Bearer second-token-456"
            assert client.post("/rerank", json=ASKED).status_code == 413
            named = [entry["id"] for entry in client.get("/v1/models").json()["data"]]
            assert named == [NAME, "again"]
            asked = {"query": QUERY, "documents": TEXTS[:2], "model": "again"}
            found = client.post("/rerank", json=asked, headers={"Host": "ranker.example"}).json()
            assert [result["index"] for result in found["results"]] == [0, 1]
        code, errors = server.end(signal.SIGTERM)
    assert code == 0
    assert "token" not in errors
    said = " ".join(errors.split())
    assert "what again gives as relevance_score is the place in one list" in said


def test_another_address_without_a_token_is_told():
    with LoopbackServer(cohere_like) as model, process(*upstream(model), "--host", "0.0.0.0") as server:
        code, errors = server.end(signal.SIGTERM)
    assert code == 0
    assert "note: whoever reaches 0.0.0.0 can use these models, as no token is asked for" in errors


def test_what_is_wrong_is_said_before_a_model_is_loaded(tmp_path: Path):
    empty = tmp_path / "empty"
    empty.write_text("# nothing\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, said in (
            (["--token-file", empty], "holds no token: write one on a line"),
            (["--token-file", tmp_path / "nowhere"], "nowhere"),
            (["--named", "x"], "--named must be written key=value, but got 'x'"),
            (["--named", "x=mini@"], "--named must be written NAME=RECIPE or NAME=RECIPE@MODEL"),
            (["--named", "x=mini", "--named", "x=prior"], "two rerankers are called 'x'"),
            (["--queue", 0], "Limits.queue must be a whole number >= 1, but got 0"),
            (["--seconds", -1], "Limits.seconds must be a number > 0"),
            (["--port", port], f"cannot listen on 127.0.0.1, port {port}"),
            (["--host", "nowhere.invalid", "--port", 0], "cannot listen on nowhere.invalid"),
            (["--port", 0, "--recipe", "nope"], "there is no recipe 'nope'"),
        ):
            done = limrank(tmp_path, "serve", *arguments, code=2)
            assert said in done.stderr, arguments


def test_named_rerankers():
    assert named_recipes(["a=mini", "b=limrank@folder/x@y=z", "c=rankgpt:window=10,stride=5"]) == {
        "a": ("mini", None),
        "b": ("limrank", "folder/x@y=z"),
        "c": ("rankgpt:window=10,stride=5", None),
    }


def test_a_token_must_fit_into_a_header(tmp_path: Path):
    file = tmp_path / "tokens"
    for wrong in ("two words", "ümlaut", "tab\there"):
        file.write_text(f"good-token\n{wrong}\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"token 2 of .* holds a space or a character") as told:
            read_tokens(file)
        assert wrong not in str(told.value)


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client", "pydantic"])
def test_an_absent_extra_is_one_sentence(missing: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=rf"the server needs {missing}.*pip install 'limrank\[server\]'"):
        require_extra()
