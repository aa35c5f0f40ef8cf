"""The page on loopback: a few fixed files and five calls, behind a token in the address.

The standard library's server is enough: a handful of reviewers on one machine, no streaming, no upload,
and nothing more to install. It listens on 127.0.0.1 alone. Another page in the same browser can reach that
address, too, so every path starts with a token that only the printed address holds; the `Host` header is
checked against names that point here (DNS rebinding), and what is sent must be JSON from this origin.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from limrank_plugins.errors import InputError
from limrank_plugins.files import why_no_json
from limrank_plugins.segments import clean_text
from limrank_synth.review.review_session import NotFound, ReviewSession, RowChangedError

HOST = "127.0.0.1"
LARGEST_BODY = 1 << 20
_JSON = "application/json; charset=utf-8"
_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
    **{
        name: (name, "text/javascript; charset=utf-8")
        for name in ("review.js", "reviewing.js", "editing.js", "view.js", "words.js", "talk.js")
    },
}
_HEADERS = {
    # Nothing but this page's own files; and no string can become markup or script, not even by mistake.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class HttpRefusal(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class ReviewServer(ThreadingHTTPServer):
    """Serves a session to browsers on this machine, until it is shut down.

    Args:
        session: what is reviewed.
        port: 0 for any that is free.
        token: what the address starts with; default: a random one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, session: ReviewSession, *, port: int = 0, token: str | None = None) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(24) if token is None else token
        folder = resources.files("limrank_synth.review").joinpath("page")
        self.files = {
            path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in _FILES.items()
        }
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nothing to tell; anything else is a defect and shows its traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def origin(self) -> str:
        """Scheme, address and port."""
        return f"http://{HOST}:{self.server_port}"

    @property
    def url(self) -> str:
        """The page's address, with its token."""
        return f"{self.origin}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    # One request a connection: a browser that keeps one open would hold a thread, and outlive the server.
    protocol_version = "HTTP/1.0"
    server_version = "limrank"
    sys_version = ""
    # Somebody who sends half a request must not hold a thread forever.
    timeout: ClassVar[float] = 60.0

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address holds the token, and the terminal is the reviewer's."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The base class's own complaints (no such method, a broken request line), in our form."""
        self._send_json(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def _answer(self, handle: Callable[[str, dict[str, str]], None]) -> None:
        try:
            handle(*self._target())
        except HttpRefusal as refused:
            self._send_json(refused.status, {"error": str(refused)})
        except NotFound as error:
            self._send_json(HTTPStatus.NOT_FOUND, {"error": str(error)})
        except RowChangedError as error:
            self._send_json(HTTPStatus.CONFLICT, {"error": str(error)})
        except InputError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except (ConnectionError, TimeoutError):
            # Nobody is there any more to be told.
            return
        except OSError as error:
            why = f"the log cannot be written or read, nothing was recorded: {error}"
            self._send_json(HTTPStatus.INSUFFICIENT_STORAGE, {"error": why})

    def _target(self) -> tuple[str, dict[str, str]]:
        """The path behind the token, and its query."""
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            raise HttpRefusal(HTTPStatus.MISDIRECTED_REQUEST, "this address is not served here")
        parts = urlsplit(self.path)
        _, _, rest = parts.path.partition("/")
        token, slash, path = rest.partition("/")
        if not slash or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise HttpRefusal(HTTPStatus.FORBIDDEN, "open the address that `limrank synth review` printed")
        try:
            query = parse_qs(parts.query, keep_blank_values=True, errors="strict", max_num_fields=8)
        except ValueError as error:
            raise HttpRefusal(HTTPStatus.BAD_REQUEST, f"the query cannot be read: {error}") from error
        return path, {name: values[-1] for name, values in query.items()}

    def _get(self, path: str, query: dict[str, str]) -> None:
        session = self.server.session
        if path in self.server.files:
            content, kind = self.server.files[path]
            self._send(HTTPStatus.OK, content, kind)
        elif path == "api/session":
            self._send_json(HTTPStatus.OK, session.overview())
        elif path == "api/state":
            self._send_json(HTTPStatus.OK, session.state(query.get("reviewer", "")))
        elif path == "api/row":
            self._send_json(HTTPStatus.OK, session.row(query.get("id", ""), query.get("reviewer", "")))
        elif path == "api/agreement":
            self._send_json(HTTPStatus.OK, session.agreement(query.get("reviewer", "")))
        else:
            raise HttpRefusal(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _post(self, path: str, query: dict[str, str]) -> None:
        calls = {"api/decide": self.server.session.decide, "api/undo": self.server.session.undo}
        if path not in calls:
            raise HttpRefusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        message = self._body()
        self._send_json(HTTPStatus.OK, calls[path](message))

    def _body(self) -> dict[str, Any]:
        origin = self.headers.get("Origin")
        if origin is not None and origin not in (
            self.server.origin,
            self.server.origin.replace(HOST, "localhost"),
        ):
            raise HttpRefusal(HTTPStatus.FORBIDDEN, "another page must not decide")
        # A form cannot send this type, and a script of another origin must ask first, which is refused.
        if self.headers.get_content_type() != "application/json":
            raise HttpRefusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "decisions are sent as application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise HttpRefusal(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        if len(length) > 9 or int(length) > LARGEST_BODY:
            raise HttpRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_BODY:,} bytes are read")
        raw = self.rfile.read(int(length))
        if len(raw) < int(length):
            raise HttpRefusal(HTTPStatus.BAD_REQUEST, "the request is cut short")
        try:
            message = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"the request cannot be read as JSON: {why_no_json(error)}") from error
        if not isinstance(message, dict):
            raise InputError("the request is not a JSON object")
        return message

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        content = clean_text(json.dumps(value, ensure_ascii=False)).encode("utf-8")
        self._send(status, content, _JSON)

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
