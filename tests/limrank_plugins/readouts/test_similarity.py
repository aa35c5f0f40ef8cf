"""Passages longer than an encoder reads: judged by beginning and best piece, and never silently cut."""

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
from limrank_plugins.backends.protocols import Embedded, Encode, Failed, Reply
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.readouts.similarity import MOST_PIECES

WORDS = ["milk", "acid", "tea", "bread", "iron"]
READS = 10
BOTH = "mini:pieces=both"


class CountingEncoder:
    """Counts words; reads the first ten of a text."""

    name = "counting"
    identity = "counting"

    def __init__(self, fails: str = "") -> None:
        self.requests: list[Encode] = []
        self.batches: list[int] = []
        self.fails = fails

    def encode(self, requests: Sequence[Encode]) -> list[Reply]:
        self.requests += requests
        self.batches.append(len(requests))
        return [self.one(request.text) for request in requests]

    def one(self, text: str) -> Reply:
        words = list(re.finditer(r"\S+", text))
        if self.fails and self.fails in text:
            return Failed("it broke", Usage(prompt_tokens=1))
        read, cut = words[:READS], max(0, len(words) - READS)
        found = [word.group() for word in read]
        vector = np.asarray([1.0, *(float(found.count(word)) for word in WORDS)], dtype=np.float32)
        return Embedded(vector, Usage(prompt_tokens=len(read)), cut, read[-1].end() if cut else None)

    def cosine(self, query: str, text: str) -> float:
        one, other = (self.one(some).vector.astype(float) for some in (query, text))  # type: ignore[union-attr]
        return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def ranked(document: Document, pieces: str = "both", encoder: Any = None) -> Any:
    backend = CountingEncoder() if encoder is None else encoder
    return Reranker(f"mini:pieces={pieces}", backend=backend).rank("milk acid", [document])[0]


LONG = Document(
    "bread tea bread tea bread tea bread tea milk tea " + "iron tea " * 8 + "milk acid " * 4, id="d"
)


def test_the_score_is_the_mean_of_the_beginnings_and_the_best_pieces() -> None:
    encoder = CountingEncoder()
    hit = ranked(LONG, encoder=encoder)
    texts = [request.text for request in encoder.requests[2:]]
    assert len(texts) > 1
    beginning = encoder.cosine("milk acid", LONG.text)
    cosines = [encoder.cosine("milk acid", text) for text in texts]
    assert max(cosines) > beginning
    assert hit.score == pytest.approx((beginning + max(cosines)) / 2, abs=1e-6)
    assert ranked(LONG, "best").score == pytest.approx(max(cosines), abs=1e-6)
    assert ranked(LONG, "first").score == pytest.approx(beginning, abs=1e-6)
    assert hit.cut_tokens == ranked(LONG, "best").cut_tokens == 0
    assert ranked(LONG, "first").cut_tokens == 34 - READS
    assert ranked(LONG, "first").piece is None
    assert hit.piece is not None
    assert hit.piece.text == LONG.text[hit.piece.start : hit.piece.end]
    assert hit.piece.text == texts[cosines.index(max(cosines))]
    assert hit.piece.of == 1 + len(texts)


@given(
    st.lists(st.sampled_from([*WORDS, "the", "a."]), min_size=1, max_size=150), st.booleans(), st.booleans()
)
def test_every_word_of_a_text_is_read_once_it_is_cut(words: list[str], titled: bool, around: bool) -> None:
    encoder = CountingEncoder()
    text = " ".join(words)
    head = "source: x\n\n" if around else ""
    body = (len(head), len(head) + len(text)) if around else None
    document = Document(head + text, title="tea time" if titled else "", body=body)
    hit = ranked(document, encoder=encoder)
    own = [request.text for request in encoder.requests if request.role == "passage"]
    before = ("tea time " if titled else "") + head
    assert all(piece.startswith(before) for piece in own)
    bare = [piece[len(before) :] for piece in own]
    assert "".join(bare[1:]) in text
    assert text.endswith("".join(bare[1:]))
    assert hit.cut_tokens == sum(encoder.one(piece).cut_tokens for piece in own[1:])  # type: ignore[union-attr]
    assert len(encoder.batches) <= 2
    if len(own) > 1:
        assert document.text[hit.piece.start : hit.piece.end] == hit.piece.text
    else:
        assert len(document.passage.split()) <= READS


def test_a_very_long_passage_costs_a_bounded_number_of_pieces_and_what_is_left_is_said() -> None:
    encoder = CountingEncoder()
    hit = ranked(Document(" ".join(f"{number:05}" for number in range(20_000))), encoder=encoder)
    assert len(encoder.requests) == 1 + MOST_PIECES
    assert hit.piece.of == MOST_PIECES
    assert hit.cut_tokens == pytest.approx(20_000 - MOST_PIECES * READS, rel=0.01)


def test_the_first_stage_lifts_a_document_and_not_its_pieces() -> None:
    encoder = CountingEncoder()
    documents = [Document("bread tea", id="short", prior=4.0), Document(LONG.text, id="long", prior=2.0)]
    ranking = Reranker(BOTH, backend=encoder).rank("milk acid", documents)
    plain = ranked(LONG).score
    scores = {hit.id: hit.score for hit in ranking}
    assert scores["long"] == pytest.approx(plain + 0.35 / 2, abs=1e-6)
    assert scores["short"] == pytest.approx(encoder.cosine("milk acid", "bread tea") + 0.35, abs=1e-6)
    assert ranking.usage.calls == len(encoder.requests)


def test_a_piece_that_fails_fails_its_document() -> None:
    text = LONG.text + "broken"
    ranking = Reranker(BOTH, backend=CountingEncoder(fails="iron broken")).rank("milk", [text, "tea"])
    assert not ranking.failures
    broken = CountingEncoder(fails="broken")
    broken.one = lambda text, one=broken.one: one(text) if len(text) < 100 else CountingEncoder().one(text)  # type: ignore[method-assign, misc]
    ranking = Reranker(BOTH, backend=broken).rank("milk", [text, "tea"])
    assert [(failure.id, failure.reason) for failure in ranking.failures] == [("0", "it broke")]
    assert [hit.score is None for hit in ranking] == [True, False]


def test_pieces_are_found_in_the_store(tmp_path: Any) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        first = Reranker(BOTH, backend=CountingEncoder(), store=store).rank("milk acid", [LONG, "tea"])
        encoder = CountingEncoder()
        again = Reranker(BOTH, backend=encoder, store=store).rank("milk acid", [LONG, "tea"])
        assert encoder.requests == []
        assert [(hit.id, hit.score, hit.piece, hit.cut_tokens) for hit in again] == [
            (hit.id, hit.score, hit.piece, hit.cut_tokens) for hit in first
        ]


def test_a_way_that_is_none() -> None:
    with pytest.raises(InputError, match="pieces must be 'first', 'best', 'both', but got 'last'"):
        Reranker("mini:pieces=last")
