"""Passages longer than an encoder reads: judged by beginning and best window, and never silently cut."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document, Reranker, Store
from limrank_plugins.backends.local.token_windows import token_windows
from limrank_plugins.backends.protocols import Embedded, Encode, Failed, Reply, Window
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.similarity import WINDOWS

WORDS = ["milk", "acid", "tea", "bread", "iron"]
READS = 10


class CountingEncoder:
    """Counts words; reads ten of a text, or so many windows of ten."""

    name = "counting"
    identity = "counting"

    def __init__(self, fails: str = "") -> None:
        self.requests: list[Encode] = []
        self.batches: list[int] = []
        self.fails = fails

    def encode(self, requests: Sequence[Encode]) -> list[Reply]:
        self.requests += requests
        self.batches.append(len(requests))
        return [self.one(request.text, request.windows, request.heading) for request in requests]

    def one(self, text: str, most: int = 1, heading: int = 0) -> Reply:
        words = list(re.finditer(r"\S+", text))
        if self.fails and self.fails in text:
            return Failed("it broke", Usage(prompt_tokens=1))
        if most == 1 or len(words) <= READS:
            return Embedded(vector(words[:READS]), Usage(prompt_tokens=READS), max(0, len(words) - READS))
        before = sum(word.start() < heading for word in words)
        spans, before = token_windows(len(words), before, READS, most)
        rows = [words[: before * (number > 0)] + words[slice(*span)] for number, span in enumerate(spans)]
        windows = [
            Window(vector(row), words[start].start(), words[end - 1].end())
            for row, (start, end) in zip(rows, spans, strict=True)
        ]
        usage = Usage(prompt_tokens=sum(map(len, rows)))
        return Embedded(windows[0].vector, usage, len(words) - spans[-1][1], tuple(windows))

    def cosine(self, query: str, text: str) -> float:
        one, other = (self.one(some).vector.astype(float) for some in (query, text))  # type: ignore[union-attr]
        return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def vector(words: Sequence[re.Match[str]]) -> np.ndarray:
    read = [word.group() for word in words]
    return np.asarray([1.0, *(float(read.count(word)) for word in WORDS)], dtype=np.float32)


def ranked(document: Document, pieces: str = "both", encoder: Any = None) -> Any:
    backend = CountingEncoder() if encoder is None else encoder
    return Reranker(f"mini:pieces={pieces}", backend=backend).rank("milk acid", [document])[0]


LONG = Document(
    "bread tea bread tea bread tea bread tea milk tea " + "iron tea " * 8 + "milk acid " * 4, id="d"
)


def test_the_score_is_the_mean_of_the_beginnings_and_the_best_windows() -> None:
    encoder = CountingEncoder()
    hit = ranked(LONG, encoder=encoder)
    words = LONG.text.split()
    windows = [" ".join(words[start:end]) for start, end in token_windows(34, 0, READS, 16)[0]]
    cosines = [encoder.cosine("milk acid", window) for window in windows]
    assert max(cosines) > cosines[0]
    assert hit.score == pytest.approx((cosines[0] + max(cosines)) / 2, abs=1e-6)
    assert ranked(LONG, "first").score == pytest.approx(cosines[0], abs=1e-6)
    assert hit.cut_tokens == 0
    assert ranked(LONG, "first").cut_tokens == 34 - READS
    assert ranked(LONG, "first").piece is None
    assert hit.piece is not None
    assert hit.piece.text == LONG.text[hit.piece.start : hit.piece.end]
    assert hit.piece.text == windows[cosines.index(max(cosines))]
    assert hit.piece.of == len(windows)
    assert Reranker(backend=encoder).rank("milk acid", [LONG])[0].score == hit.score, "it is the default"


def test_a_passage_that_is_read_whole_has_the_score_it_has_alone() -> None:
    document = Document("milk acid tea", title="bread")
    hits = [ranked(document, pieces) for pieces in ("both", "first")]
    assert hits[0].score == hits[1].score == CountingEncoder().cosine("milk acid", "bread milk acid tea")
    assert hits[0].piece is None


@given(
    st.lists(st.sampled_from([*WORDS, "the", "a."]), min_size=1, max_size=150), st.booleans(), st.booleans()
)
def test_a_title_stands_before_every_window_and_a_piece_is_the_documents(
    words: list[str], titled: bool, around: bool
) -> None:
    encoder = CountingEncoder()
    text = " ".join(words)
    head = "source: x\n\n" if around else ""
    body = (len(head), len(head) + len(text)) if around else None
    document = Document(head + text, title="tea time" if titled else "", body=body)
    hit = ranked(document, encoder=encoder)
    (asked,) = (request for request in encoder.requests if request.role == "passage")
    assert asked.text == document.passage
    assert asked.text[: asked.heading] == ("tea time " if titled else "") + head
    assert len(encoder.batches) == 1
    assert hit.cut_tokens == 0
    if len(document.passage.split()) <= READS:
        assert hit.piece is None
    else:
        assert document.text[hit.piece.start : hit.piece.end] == hit.piece.text
        assert hit.piece.text in text


def test_a_piece_is_shown_in_whole_words() -> None:
    class Letters(CountingEncoder):
        def one(self, text: str, most: int = 1, heading: int = 0) -> Reply:
            whole = np.asarray([1.0, 0.0], dtype=np.float32)
            inner = Window(np.asarray([1.0, 1.0], dtype=np.float32), 6, 9)
            windows = (Window(whole, 0, 4), inner) if most > 1 else ()
            return Embedded(whole if most > 1 else inner.vector, windows=windows)

    piece = ranked(Document("bread curdles tea"), encoder=Letters()).piece
    assert (piece.text, piece.start, piece.end, piece.of) == ("curdles", 6, 13, 2)


def test_a_very_long_passage_is_read_in_a_bounded_number_of_windows_and_what_is_left_is_said() -> None:
    encoder = CountingEncoder()
    hit = ranked(Document(" ".join(f"{number:05}" for number in range(20_000))), encoder=encoder)
    assert len(encoder.requests) == 2
    assert hit.piece.of == WINDOWS
    assert hit.cut_tokens == 20_000 - WINDOWS * READS


def test_the_first_stage_lifts_a_document_once() -> None:
    encoder = CountingEncoder()
    documents = [Document("bread tea", id="short", prior=4.0), Document(LONG.text, id="long", prior=2.0)]
    ranking = Reranker("mini", backend=encoder).rank("milk acid", documents)
    plain = ranked(LONG).score
    scores = {hit.id: hit.score for hit in ranking}
    assert scores["long"] == pytest.approx(plain + 0.35 / 2, abs=1e-6)
    assert scores["short"] == pytest.approx(encoder.cosine("milk acid", "bread tea") + 0.35, abs=1e-6)
    assert ranking.usage.calls == len(encoder.requests)


def test_a_passage_that_fails_fails_its_document() -> None:
    backend = CountingEncoder(fails="broken")
    ranking = Reranker("mini", backend=backend).rank("milk", [LONG.text + "broken", "tea"])
    assert [(failure.id, failure.reason) for failure in ranking.failures] == [("0", "it broke")]
    assert [hit.score is None for hit in ranking] == [True, False]


def test_windows_are_found_in_the_store(tmp_path: Any) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        first = Reranker("mini", backend=CountingEncoder(), store=store).rank("milk acid", [LONG, "tea"])
        encoder = CountingEncoder()
        again = Reranker("mini", backend=encoder, store=store).rank("milk acid", [LONG, "tea"])
        assert encoder.requests == []
        assert [(hit.id, hit.score, hit.piece, hit.cut_tokens) for hit in again] == [
            (hit.id, hit.score, hit.piece, hit.cut_tokens) for hit in first
        ]


@pytest.mark.parametrize("pieces", ["last", "best"])
def test_a_way_that_is_none(pieces: str) -> None:
    with pytest.raises(InputError, match=f"pieces must be 'both' or 'first', but got '{pieces}'"):
        Reranker(f"mini:pieces={pieces}")
