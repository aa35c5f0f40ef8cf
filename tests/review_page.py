"""The review page in a browser: a server in a thread, and what a person sees and types."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_synth.guidelines import load_guidelines
from limrank_synth.records import LabelledPassage
from limrank_synth.review.decision import Decision
from limrank_synth.review.decision_log import DecisionLog
from limrank_synth.review.review_session import ReviewSession
from limrank_synth.review.server import ReviewServer

CTRL_ENTER = "\ue009\ue007"
TAB, ENTER, ESCAPE, LEFT, RIGHT, SPACE = "\ue004", "\ue007", "\ue00c", "\ue012", "\ue014", "\ue00d"


# While something is on its way to the server, the page takes no other key.
IDLE = "document.body.ariaBusy === 'false'"


@contextmanager
def served(rows: list[LabelledPassage], log: Path, port: int = 0, **options: Any) -> Iterator[ReviewServer]:
    with ReviewServer(
        ReviewSession(rows, DecisionLog(log), load_guidelines(), **options), port=port
    ) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Page:
    """What a person sees and types."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, server: ReviewServer, name: str = "ann") -> Page:
        self.driver.get(server.url)
        self.until(lambda: self.visible("#who-dialog"))
        self.type(name, ENTER)
        self.until(lambda: self.text("#who") == f"Reviewer: {name}" and self.js(IDLE))
        return self

    def type(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        from selenium.webdriver import ActionChains

        for key in keys:
            self.until(lambda: self.js(IDLE))
            chain = ActionChains(self.driver, duration=0)
            if key == CTRL_ENTER:
                chain.key_down(key[0]).send_keys(key[1]).key_up(key[0])
            else:
                chain.send_keys(key)
            chain.perform()

    def until(self, met: Callable[[], Any]) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 10, poll_frequency=0.02).until(lambda _: met())

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {code}", *arguments)

    def text(self, selector: str) -> str:
        return self.js("document.querySelector(arguments[0]).textContent", selector)

    def visible(self, selector: str) -> bool:
        return self.js(
            "[...document.querySelectorAll(arguments[0])].some(found => found.checkVisibility())", selector
        )

    @property
    def place(self) -> str:
        return self.text("#place")

    def decide(self, *keys: str, on: int, then: int | None = None) -> None:
        """Keys that decide on one row, and wait for the next to be shown."""
        assert self.place.startswith(f"Row {on} of")
        self.type(*keys)
        self.until(lambda: self.place.startswith(f"Row {on + 1 if then is None else then} of"))

    def reload(self) -> None:
        self.driver.refresh()
        self.until(lambda: self.text("#who").startswith("Reviewer: ") and self.js(IDLE))


def errors(driver: Any) -> list[str]:
    """Violated policies and exceptions in the page since the last call; not the requests that failed."""
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in severe if "Failed to load resource" not in message]


def read_log(path: Path) -> tuple[list[Decision], list[str]]:
    """All decisions of a log, and what is wrong with the file."""
    log = DecisionLog(path)
    return log.news(), log.problems


def actions(log: Path) -> list[tuple[str, str, str]]:
    entries, problems = read_log(log)
    assert problems == []
    return [(entry.reviewer, entry.row, entry.action) for entry in entries]
