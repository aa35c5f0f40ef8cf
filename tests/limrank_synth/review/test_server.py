"""Real requests on loopback: what is served, and everything that is refused."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_page import read_log
from synth_rows import make_row, make_rows

from limrank_synth.guidelines import load_guidelines
from limrank_synth.review.decision import row_hash
from limrank_synth.review.decision_log import DecisionLog
from limrank_synth.review.review_session import ReviewSession
from limrank_synth.review.server import LARGEST_BODY, ReviewServer

ROWS = [*make_rows(3), make_row(id="<script>alert(1)</script>", passage="</script> & </think> true")]
SAID: dict[str, Any] = {
    "id": "page-00000001",
    "reviewer": "ann",
    "row": ROWS[0].id,
    "hash": row_hash(ROWS[0]),
    "action": "accept",
}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReviewServer]:
    session = ReviewSession(ROWS, DecisionLog(tmp_path / "log.jsonl"), load_guidelines())
    with ReviewServer(session) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(
    server: ReviewServer,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    token: str | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    given = {} if headers is None else headers
    content = json.dumps(body) if isinstance(body, dict | list) else body
    try:
        connection.request(
            method,
            f"/{server.token if token is None else token}/{path}",
            content,
            JSON | given if body else given,
        )
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def entries(tmp_path: Path) -> list[Any]:
    return read_log(tmp_path / "log.jsonl")[0]


def test_it_listens_on_loopback_alone_with_a_long_token(server: ReviewServer):
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32
    assert server.url == f"http://127.0.0.1:{server.server_port}/{server.token}/"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html"),
        ("review.css", "text/css"),
        *(
            (name, "text/javascript")
            for name in ("review.js", "reviewing.js", "editing.js", "view.js", "words.js", "talk.js")
        ),
        ("api/session", "application/json"),
    ],
)
def test_everything_is_served_with_a_strict_policy(server: ReviewServer, path: str, kind: str):
    status, headers, content = ask(server, "GET", path)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
    assert content
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


def test_every_file_of_the_page_is_served_and_asks_for_no_other(server: ReviewServer):
    folder = Path(__file__).parents[3] / "synth/limrank_synth/review/page"
    assert {file.name for file in folder.iterdir()} == {
        "index.html",
        *(name for name in server.files if name),
    }
    for file in folder.iterdir():
        text = file.read_text("utf-8")
        assert "http://" not in text
        assert "https://" not in text
        for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert dangerous not in text, f"{file.name}: texts go in as texts"


@pytest.mark.parametrize("token", ["", "wrong", "%00", "a" * 5000])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "api/session"), ("POST", "api/decide")])
def test_without_the_token_nothing_is_told_or_done(
    server: ReviewServer, tmp_path: Path, method: str, path: str, token: str
):
    status, _, content = ask(server, method, path, SAID if method == "POST" else None, token=token)
    assert status == 403
    assert server.token.encode() not in content
    assert entries(tmp_path) == []


@pytest.mark.parametrize("path", ["/ü/", "/{token}", "{token}/", "*"])
def test_a_path_that_is_not_quite_one_is_refused(server: ReviewServer, path: str):
    path = path.format(token=server.token)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.0 403 ")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Length": "-5"}, 411),
        ({"Content-Length": "many"}, 411),
        ({"Content-Length": str(LARGEST_BODY + 1)}, 413),
        ({"Content-Length": "9" * 30}, 413),
    ],
)
def test_what_another_page_could_send_is_refused(
    server: ReviewServer, tmp_path: Path, headers: dict[str, str], status: int
):
    found, answered, content = ask(server, "POST", "api/decide", SAID, headers)
    assert found == status
    assert json.loads(content)["error"]
    assert answered["Connection"] == "close"
    assert entries(tmp_path) == []


def test_this_page_under_either_name_is_not_refused(server: ReviewServer, tmp_path: Path):
    for number, name in enumerate(("127.0.0.1", "localhost")):
        here = f"{name}:{server.server_port}"
        said = SAID | {"id": f"page-1000000{number}"}
        assert ask(server, "POST", "api/decide", said, {"Host": here, "Origin": f"http://{here}"})[0] == 200
    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("{", 400, "as JSON: Expecting"),
        (b"\xff\xfe", 400, "as JSON: 'utf-8' codec"),
        ("[" * 100_000, 400, "as JSON: it is nested too deeply"),
        ("[" + "1" * 6000 + "]", 400, "as JSON: it holds a number of thousands of digits"),
        ("[1]", 400, "not a JSON object"),
        ("null", 400, "not a JSON object"),
        (json.dumps({}), 400, "needs a reviewer"),
        (json.dumps(SAID | {"row": "strange"}), 404, "no row 'strange'"),
        (json.dumps(SAID | {"row": {"a": 1}}), 400, "row must be a text"),
        (json.dumps(SAID | {"hash": "0" * 64}), 409, "has changed"),
        (json.dumps(SAID | {"action": "reject"}), 400, "needs a reason"),
        (json.dumps(SAID | {"edits": {"passage": "x" * 200_000}, "action": "edit"}), 400, "200,000"),
        (json.dumps(SAID | {"action": float("nan")}), 400, "action must be a text"),
    ],
)
def test_a_bad_decision_is_refused_with_a_sentence(
    server: ReviewServer, tmp_path: Path, body: Any, status: int, error: str
):
    found, _, content = ask(server, "POST", "api/decide", body)
    assert (found, error in json.loads(content)["error"]) == (status, True), content
    assert entries(tmp_path) == []


def test_a_huge_body_is_not_read(server: ReviewServer, tmp_path: Path):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as raw:
        head = (
            f"POST /{server.token}/api/decide HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {1 << 40}\r\n\r\n"
        )
        raw.sendall(head.encode())
        assert raw.recv(100).startswith(b"HTTP/1.0 413 ")
    assert entries(tmp_path) == []


def test_a_request_that_ends_early_decides_nothing(server: ReviewServer, tmp_path: Path):
    # What is there is whole JSON: only the length says that something is missing.
    body = json.dumps(SAID).encode() + b" "
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as raw:
        head = (
            f"POST /{server.token}/api/decide HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        raw.sendall(head.encode() + body[:-1])
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100).startswith(b"HTTP/1.0 400 ")
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "../../pyproject.toml", 404),
        ("GET", "%2e%2e/session.py", 404),
        ("GET", "api/decide", 404),
        ("POST", "api/session", 404),
        ("GET", "api/row?reviewer=ann&id=strange", 404),
        ("GET", "api/row?reviewer=ann", 404),
        ("GET", "api/state", 400),
        ("GET", "api/state?reviewer=%ff", 400),
        ("GET", "api/state?" + "&".join("a=1" for _ in range(50)), 400),
        ("PUT", "api/decide", 501),
        ("OPTIONS", "api/decide", 501),
        ("HEAD", "", 501),
    ],
)
def test_there_is_nothing_else(server: ReviewServer, method: str, path: str, status: int):
    found, headers, _ = ask(server, method, path)
    assert found == status
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_decide_undo_and_ask_again(server: ReviewServer, tmp_path: Path):
    status, _, content = ask(server, "POST", "api/decide", SAID)
    assert status == 200
    assert json.loads(content)["decision"]["action"] == "accept"
    state = json.loads(ask(server, "GET", "api/state?reviewer=ann")[2])
    assert list(state["decisions"]) == [ROWS[0].id]
    status, _, content = ask(server, "POST", "api/undo", {"id": "page-00000002", "reviewer": "ann"})
    assert json.loads(content) == {"row": ROWS[0].id, "decision": None}
    assert ask(server, "POST", "api/undo", {"id": "page-00000003", "reviewer": "ann"})[0] == 404
    assert ask(server, "POST", "api/undo", {"id": "page-00000003"})[0] == 400
    assert [entry.action for entry in entries(tmp_path)] == ["accept", "undo"]


def test_a_row_with_markup_comes_as_json_text(server: ReviewServer):
    _, headers, content = ask(server, "GET", "api/row?reviewer=ann&id=%3Cscript%3Ealert(1)%3C/script%3E")
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(content)["row"]["passage"] == "</script> & </think> true"


def test_a_disk_that_is_full_is_told_and_the_server_lives(
    server: ReviewServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        status, _, content = ask(server, "POST", "api/decide", SAID)
    assert status == 507
    assert "nothing was recorded" in json.loads(content)["error"]
    assert ask(server, "POST", "api/decide", SAID)[0] == 200
    assert len(entries(tmp_path)) == 1


def test_many_reviewers_at_once(server: ReviewServer, tmp_path: Path):
    def work(name: str) -> None:
        for number in range(20):
            row = ROWS[number % len(ROWS)]
            said = SAID | {
                "id": f"{name}-{number:08}",
                "reviewer": name,
                "row": row.id,
                "hash": row_hash(row),
            }
            assert ask(server, "POST", "api/decide", said)[0] == 200

    names = ["ann", "bob", "cy", "dee"]
    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.reviewer for entry in entries(tmp_path)) == sorted(names * 20)
