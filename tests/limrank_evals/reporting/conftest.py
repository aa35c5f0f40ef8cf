"""The report in a real browser, for the tests that drive it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browsers import chromium
from review_page import Page, errors


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(driver: Any) -> Iterator[Page]:
    driver.get_log("browser")
    yield Page(driver)
    assert errors(driver) == []
