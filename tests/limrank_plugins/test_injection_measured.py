"""What words do to the embedded default, as docs/injection.md reports it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from needs import needs_mini

from limrank_plugins import Reranker, Store, samples
from limrank_plugins.retrievers import Retriever, build_retriever

PAGE = (Path(__file__).parents[2] / "docs" / "injection.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.+?) \| (\d+) \((\d+)–(\d+)\) \| \d+ \(\d+–\d+\) \|$", re.MULTILINE)

pytestmark = needs_mini


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reranker]:
    with Store(tmp_path_factory.mktemp("store") / "s.sqlite") as store:
        reranker = Reranker("mini", store=store)
        yield reranker
        reranker.close()


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return build_retriever("bm25s", samples.documents())


@pytest.mark.parametrize("added", range(5))
def test_the_report_says_what_is_measured(added: int, made: Reranker, retriever: Retriever):
    rows = ROW.findall(PAGE)
    assert len(rows) == 5
    text, *figures = rows[added]
    places = []
    for query in samples.queries():
        found = retriever.search(query, k=50)
        victim = made.rank(query, found).ids[19]
        attacking = []
        for document in found:
            own = document.text
            written = f"{query.text} {own}" if text.startswith("the query") else f"{own} {text[1:-1]}"
            attacking.append(replace(document, text=written) if document.id == victim else document)
        places.append(1 + made.rank(query, attacking).ids.index(victim))
    # Another machine's rounding may move a passage by a place.
    for figure, measured in zip(figures, (median(places), min(places), max(places)), strict=True):
        assert abs(int(figure) - measured) <= 1, (text, measured)
