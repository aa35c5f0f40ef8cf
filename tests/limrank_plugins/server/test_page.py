"""The page without a browser: it is served whole, may do little, and stands behind the server's guards."""

from __future__ import annotations

import base64
import hashlib
import re

from report_page import Elements
from serving import judging, serving

from limrank_plugins.pages import page_file
from limrank_plugins.server import build_app
from limrank_plugins.server.page_answer import served_page

HTML = served_page().html
PARTS = Elements(HTML)


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_it_is_one_file_under_a_policy_that_lets_nothing_else_run():
    with serving(judging()) as service:
        answered = service.client.get("/")
        assert service.client.post("/", json={}).status_code == 405
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    assert answered.text == HTML
    policy = dict(
        part.strip().split(" ", 1) for part in answered.headers["content-security-policy"].split(";")
    )
    style, script = re.findall(r"<(?:style|script type=\"module\")>(.*?)</(?:style|script)>", HTML, re.DOTALL)
    assert policy == {
        "default-src": "'none'",
        "style-src": hashed(style),
        "script-src": hashed(script),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["cache-control"] == "no-store"


def test_no_asset_is_of_another_host_and_no_text_becomes_markup():
    sources = [value for _, found in PARTS.tags for name, value in found.items() if name in ("src", "href")]
    assert sorted(sources) == ["#result", "data:,"]
    assert set(re.findall(r"\w+://[\w./-]*", HTML)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in HTML
    assert "@import" not in HTML
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "localStorage"):
        assert dangerous not in HTML
    assert not [name for _, found in PARTS.tags for name in found if name.startswith("on") or name == "style"]


def test_every_field_has_a_label():
    fields = {found["id"] for tag, found in PARTS.tags if tag in ("input", "select", "textarea")}
    assert fields == {found.get("for") for tag, found in PARTS.tags if tag == "label"}


def test_its_look_is_the_reports():
    for part in ("plot.css", "frame.css", "dom.js", "documents.js", "movement.js"):
        assert page_file("limrank_plugins.server", part).strip() in HTML


def test_guards_stand_before_it_but_no_token_is_asked_for():
    with serving(judging(), tokens=["a-token"]) as service:
        assert service.client.get("/").status_code == 200
        assert service.client.get("/", headers={"Host": "evil.example"}).status_code == 421
        assert service.client.get("/", headers={"Origin": "http://evil.example"}).status_code == 403
        for path in ("/corpora", "/v1/models"):
            assert service.client.get(path).status_code == 401
        assert service.client.post("/search", json={"query": "x"}).status_code == 401


def test_it_can_be_left_out():
    with serving(judging(), page=False) as service:
        assert service.client.get("/").status_code == 404
    paths = {route.path for route in build_app({"m": judging()}).routes}
    assert "/" in paths
