"""The report's page for tests: as it is parsed, served to a browser, and looked at there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from review_page import Page

# What a person sees, as JavaScript.
ROWS = "[...document.querySelectorAll('#list a')].map(a => a.textContent)"
CHANGES = """[...document.querySelectorAll('#list .change')]
    .map(change => parseFloat(change.textContent.replace('−', '-').replace('±', '')))"""
QUERY = "document.querySelector('#detail h3').textContent"
IDS = "[...document.querySelectorAll('#documents .id')].map(a => a.textContent)"


class Elements(HTMLParser):
    """All start tags, their attributes, and the texts of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.open = f"{tag} {found.get('id') or ''}"

    def handle_data(self, data: str) -> None:
        if self.open.startswith("script "):
            self.scripts[self.open[7:]] = self.scripts.get(self.open[7:], "") + data


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@contextmanager
def served_folder(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a folder's server, and the paths that were asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


def opened(page: Page, path: Path, fragment: str = "") -> Page:
    # A fragment alone would not load the page again.
    page.driver.get("about:blank")
    page.driver.get(f"file://{path}{fragment}")
    page.until(lambda: page.js("document.body.ariaBusy === 'false'"))
    return page


def select(page: Page, name: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(page.driver.find_element("id", name)).select_by_visible_text(text)
