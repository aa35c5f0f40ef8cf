"""The page in real headless Chromium, on a real server: by keyboard, by a link, with errors, side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import POOR_CONTRAST, chromium, needs_chromium
from review_page import CTRL_ENTER, ENTER, TAB, Page, errors
from scripts import logits
from serving import LONGEST, TEXTS, Gated, Service, judging, logit, serving

from limrank_plugins import Document, Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.retrievers import build_retriever
from limrank_plugins.server import ExampleQuery, Limits, ServedCorpus

pytestmark = [pytest.mark.browser, needs_chromium]

QUERY = "why does milk go lumpy"
HOSTILE = "<img src=x onerror='window.hit=1'></textarea></script><script>window.hit=1</script>"
DOCUMENTS = [Document(f"{text} Milk.", id=f"d{place}", title=f"T{place}") for place, text in enumerate(TEXTS)]
RETRIEVER = build_retriever("bm25s", DOCUMENTS)
CORPORA = {"dairy": ServedCorpus(RETRIEVER, (ExampleQuery(QUERY, {"d1": 1, "d2": 0}),))}
CANDIDATES = [document.passage for document in RETRIEVER.search(QUERY)]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(driver: Any) -> Iterator[Page]:
    driver.get_log("browser")
    yield Page(driver)
    assert errors(driver) == []
    driver.execute_script("sessionStorage.clear()")


def opened(page: Page, service: Service, fragment: str = "") -> Page:
    page.driver.get("about:blank")  # a fragment alone would not load the page again
    page.driver.get(f"{service.url}/{fragment}")
    page.until(lambda: page.js("document.body.ariaBusy === 'false'"))
    return page


def rank(page: Page, *keys: str) -> None:
    page.type(*keys, CTRL_ENTER)
    page.until(lambda: not page.visible("#stop"))


def focused(page: Page) -> str:
    return page.js("document.activeElement.id")


def choose(page: Page, name: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(page.driver.find_element("id", name)).select_by_value(value)


def column(page: Page, place: int) -> list[int]:
    """The first-stage places of a column's passages, from 0, as they stand."""
    return page.js(
        "[...document.querySelectorAll('.column')[arguments[0]].querySelectorAll('li[data-index]')]"
        ".map(row => Number(row.dataset.index))",
        place,
    )


def texts(page: Page, selector: str) -> list[str]:
    return page.js("[...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)


def order(service: Service, query: str, passages: list[str], **fields: Any) -> list[int]:
    return [result["index"] for result in service.rerank(query, passages, **fields).json()["results"]]


def test_from_an_empty_page_to_a_ranking_by_keyboard(page: Page):
    with serving(judging(), corpora=CORPORA) as service:
        opened(page, service)
        assert focused(page) == "query"
        rank(page)
        assert (page.text("#problem"), focused(page)) == ("Type a query.", "query")
        page.type(QUERY, TAB)
        assert focused(page) == "source"
        page.type("your own", *[TAB] * 5)
        assert focused(page) == "passages"
        rank(page, f"{TEXTS[0]}\n\n{TEXTS[1]}\n \n{TEXTS[2]}")
        assert page.text("#status") == "Done."
        assert page.text(".took").startswith("3 judged · ")
        assert focused(page) == "result"
        assert column(page, 0) == [0, 1, 2]
        assert column(page, 1) == order(service, QUERY, TEXTS)
        shown = texts(page, ".column:last-child .score")
        scores = sorted((logit(QUERY, text) for text in TEXTS), reverse=True)
        assert shown == [f"{score:.3f}".replace("-", "−") for score in scores]
        assert page.js("document.querySelectorAll('.moves path').length") == 3
        # On to the first passage, which opens.
        page.type(TAB, TAB, ENTER)
        assert page.visible(".column:first-child li:first-child .text")


def test_a_link_fills_the_form_and_asks_for_nothing_until_a_key_is_pressed(page: Page):
    asked: list[str] = []

    def counted(query: str, passage: str) -> float:
        asked.append(passage)
        return logit(query, passage)

    rerankers = {"a": judging(ScriptedBackend(score_pairs=counted)), "b": Reranker("prior")}
    with serving(rerankers, corpora=CORPORA) as service:
        opened(page, service)
        choose(page, "example", "0")
        choose(page, "other", "b")
        rank(page)
        before, link = [column(page, 1), column(page, 2)], page.js("location.hash")
        assert before[0] == order(service, QUERY, CANDIDATES, model="a")
        assert before[1] == [0, 1, 2]
        assert texts(page, ".found") == ["1 of 1 relevant passage in the first 10"] * 3
        asked.clear()
        opened(page, service, link)
        assert focused(page) == "rank"
        assert "not ranked yet" in page.text("#status")
        assert (asked, page.visible("#result")) == ([], False)
        assert page.js("document.getElementById('query').value") == QUERY
        page.type(ENTER)
        page.until(lambda: page.text("#status").startswith("Done."))
        assert [column(page, 1), column(page, 2)] == before
        assert asked
        # Own passages travel in the link, too, and what it names that is not here is said.
        choose(page, "source", "own")
        page.js("document.getElementById('passages').value = 'one & only\\n\\nanother+one'")
        page.js("document.getElementById('query').focus()")
        rank(page)
        link = page.js("location.hash")
        opened(page, service, link.replace("model=a", "model=gone"))
        assert page.text("#problem") == "The link names the reranker gone, which is not served here."
        rank(page)
        titles = texts(page, ".column:first-child .title")
        assert titles == ["one & only", "another+one"]
        page.js("history.replaceState(null, '', location.pathname)")
        page.driver.find_element("id", "link").click()
        page.until(lambda: page.text("#status").startswith(("The link is copied", "The address bar holds")))
        assert page.js("location.hash") == link
        choose(page, "other", "a")
        page.js("document.getElementById('query').focus()")
        rank(page)
        assert page.text("#problem") == "Compare with another reranker, or with nothing."
        choose(page, "other", "")
        page.js("document.getElementById('passages').value = 'x'.repeat(40000)")
        page.js("document.getElementById('query').focus()")
        rank(page)
        assert page.text("#status").startswith("Done. The address does not hold these inputs")
        assert page.js("location.hash") == ""
        page.driver.find_element("id", "link").click()
        assert "many programs cut one above 30,000" in page.text("#problem")


def test_what_the_server_refuses_is_said_in_words(page: Page):
    backend = Gated()
    with serving(
        judging(backend), corpora=CORPORA, limits=Limits(documents=2, queue=1), tokens=["secret-token"]
    ) as service:
        service.client.headers["Authorization"] = "Bearer secret-token"
        opened(page, service)
        assert page.text("#problem") == "A token is needed: send Authorization: Bearer … (401)."
        assert focused(page) == "token"
        page.type("secret-token”", ENTER)
        assert "The token holds “””, which no header can carry" in page.text("#problem")
        assert (focused(page), page.js("sessionStorage.length")) == ("token", 0)
        page.js("document.getElementById('token').value = ''")
        page.type("another", ENTER)
        page.until(lambda: page.text("#problem") == "The server does not accept this token (401).")
        assert focused(page) == "token"
        page.type("secret-token", ENTER)
        page.until(lambda: page.js("document.getElementById('model').value") == "m")
        assert (focused(page), page.text("#problem")) == ("query", "")
        assert page.js("localStorage.length") == 0
        rank(page, QUERY)
        assert page.text("#problem") == "Depth is too high: at most 2 are accepted, but got 20 (413)."
        page.js("document.getElementById('depth').value = '2'")
        busy = threading.Thread(target=lambda: service.rerank(documents=["a"]))
        busy.start()
        assert backend.asked.acquire(timeout=LONGEST)
        rank(page)
        full = "1 request at a time are accepted here: ask again later (429). Ask again in 1 second."
        assert page.text("#problem").lower() == full.lower()
        backend.gate.set()
        busy.join(LONGEST)
        rank(page)
        assert (page.text("#problem"), len(column(page, 1))) == ("", 2)
    rank(page)
    assert page.text("#problem") == "The server cannot be reached. Is it running?"


def test_a_ranking_names_its_query_and_says_when_the_form_has_changed(page: Page):
    with serving(judging(), corpora=CORPORA, limits=Limits(documents=3)) as service:
        opened(page, service, "#query=milk&depth=3")  # of the first corpus, where it names none
        rank(page)
        address = page.js("location.hash")
        assert (page.text(".asked"), page.visible("#outdated")) == ("For: milk", False)
        # Around the form to the list, which leaves the inputs in the address.
        page.js("document.querySelector('.skip').focus()")
        page.type(ENTER)
        assert (focused(page), page.js("location.hash")) == ("result", address)
        page.js("document.getElementById('query').select()")
        page.type("rivers")
        assert (page.text(".asked"), page.visible("#outdated")) == ("For: milk", True)
        page.js("document.getElementById('depth').value = '4'")
        rank(page)
        assert "Depth is too high" in page.text("#problem")
        assert (page.text(".asked"), page.visible("#outdated")) == ("For: milk", True)
        page.js("document.getElementById('depth').value = '3'")
        rank(page)
        assert (page.text(".asked"), page.visible("#outdated")) == ("For: rivers", False)


def test_a_link_opened_while_work_is_under_way_stops_it(page: Page):
    backend = Gated()
    with serving(judging(backend), corpora=CORPORA) as service:
        opened(page, service)
        page.type(QUERY, CTRL_ENTER)
        assert backend.asked.acquire(timeout=LONGEST)
        page.until(lambda: page.visible("#stop"))
        page.js("location.hash = 'query=rivers&corpus=dairy'")
        page.until(lambda: page.text(".took").startswith("stopped after"))
        assert page.text("#status").startswith(
            "What was under way is stopped. The inputs are those of the link"
        )
        assert not page.visible("#stop")
        assert (page.text(".asked"), page.visible("#outdated")) == (f"For: {QUERY}", True)
        assert (focused(page), page.js("document.getElementById('query').value")) == ("rank", "rivers")
        backend.gate.set()
        service.wait_for(lambda inside: inside.gate.under_way == 0)


def test_texts_never_run(page: Page, tmp_path: Path):
    think = ScriptedBackend(generate=lambda prompt: f"{HOSTILE}</think>", read_labels=logits)
    corpus = build_retriever("bm25s", [Document(f"milk {HOSTILE}", id=HOSTILE, title=HOSTILE)])
    rerankers = {HOSTILE: Reranker("limrank", backend=think)}
    file = tmp_path / "img src=x onerror=alert(1).jsonl"
    file.write_text('{"title": "<b>t</b>", "text": "<img src=x onerror=window.hit=1>"}\n\n"second"\n')
    with serving(rerankers, corpora={HOSTILE: ServedCorpus(corpus)}) as service:
        opened(page, service)
        rank(page, "milk")
        page.js("document.getElementById('open-all').click()")
        assert page.text(".column:last-child h2") == HOSTILE
        assert page.text(".column:last-child .title") == HOSTILE
        assert page.text(".column:last-child .reasoning") == HOSTILE
        choose(page, "source", "own")
        page.driver.find_element("id", "files").send_keys(str(file))
        page.until(lambda: page.text("#added"))
        assert page.text("#added") == f"{file.name}: 2 passages remove"
        page.js("document.getElementById('query').focus()")
        rank(page)
        titles = texts(page, ".column:first-child .title")
        assert titles == ["<b>t</b>", "second"]
        opened(page, service, page.js("location.hash"))
        assert page.js("typeof window.hit") == "undefined"
        assert page.js("document.querySelectorAll('img, #columns script, iframe').length") == 0


def test_passages_come_as_they_are_judged_and_failed_ones_have_no_score(page: Page):
    gate = threading.Event()
    passages = [*TEXTS, "Tea is a drink.", "The last one."]

    def think(prompt: Any) -> str:
        if TEXTS[1] in prompt.text:
            raise ScriptedFailure("the script fails it")
        if "The last one." in prompt.text:
            assert gate.wait(LONGEST)
        return "I thought about milk.</think>"

    reranker = Reranker("limrank", backend=ScriptedBackend(generate=think, read_labels=logits))
    with serving({"limrank": reranker, "m": judging()}) as service:
        opened(page, service)
        assert page.js("document.getElementById('source').value") == "own"
        page.js("document.getElementById('passages').value = arguments[0]", "\n\n".join(passages))
        choose(page, "other", "m")
        page.js("document.getElementById('query').focus()")
        try:
            page.type(QUERY, CTRL_ENTER)
            page.until(lambda: page.text(".took").startswith("4 of 5 judged · "))
            assert "tokens written · " in page.text(".took")
            assert sorted(column(page, 1)) == [0, 1, 2, 3]
            assert column(page, 1)[-1] == 1
            assert column(page, 2) == []
            assert page.visible("#stop")
            assert page.js("document.querySelector('progress').value") == 4
        finally:
            gate.set()
        page.until(lambda: not page.visible("#stop"))
        # What failed keeps its first-stage place, without a score or a move.
        assert column(page, 1)[1] == 1
        assert column(page, 1) != [0, 1, 2, 3, 4]
        assert texts(page, ".column:nth-of-type(2) .rank") == ["1", "–", "3", "4", "5"]
        failed = page.driver.find_element("css selector", ".failed")
        assert failed.text.splitlines()[-1] == "Not judged: the script fails it"
        assert failed.find_elements("css selector", ".score, .moved") == []
        assert page.text(".took").startswith("4 judged, 1 not · ")
        assert sorted(column(page, 2)) == [0, 1, 2, 3, 4]
        assert page.js("document.querySelectorAll('progress').length") == 0
        page.js("document.getElementById('open-all').click()")
        assert page.visible(".reasoning")
        assert set(texts(page, ".reasoning")) == {"I thought about milk."}


def test_work_can_be_stopped(page: Page):
    backend = Gated()
    with serving(judging(backend), corpora=CORPORA) as service:
        opened(page, service)
        page.type(QUERY, CTRL_ENTER)
        assert backend.asked.acquire(timeout=LONGEST)
        page.until(lambda: page.visible("#stop"))
        page.driver.find_element("id", "stop").click()
        page.until(lambda: page.text("#status") == "Stopped.")
        assert page.text(".took").startswith("stopped after")
        backend.gate.set()
        service.wait_for(lambda inside: inside.gate.under_way == 0)


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (320, "light"), (360, "dark")]
)
def test_it_is_readable_at_every_width_and_in_the_dark(page: Page, width: int, scheme: str):
    def show(width: int, scheme: str) -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    with serving({"m": judging(), "prior": Reranker("prior")}, corpora=CORPORA) as service:
        opened(page, service)
        show(width, scheme)
        choose(page, "example", "0")
        choose(page, "other", "prior")
        page.js("document.getElementById('query').focus()")
        rank(page)
        page.js("document.getElementById('open-all').click()")
        assert page.driver.execute_script(POOR_CONTRAST) == []
        assert page.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        # Moves are lines between columns where there is room, else a drawing above each list.
        assert page.visible(".moves") == (width > 1000)
        assert page.visible(".movement") == (width < 1000)
        choose(page, "source", "own")
        assert page.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        show(1280, "light")
