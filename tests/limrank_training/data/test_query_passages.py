"""Pairs and triples as the synthesizer writes them, what is wrong with a line, and drawn negatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from encoder_rows import pairs, written
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_training.data.negatives import NegativeSampler
from limrank_training.data.query_passages import QueryPassages, read_query_passages


def test_pairs_and_triples_say_the_same(tmp_path: Path):
    rows = pairs()
    triples = [
        {"anchor": row["query"], "positive": good["passage"], "negative": row["passage"]}
        for row in rows
        for good in rows
        if not row["label"] and good["label"] and good["query"] == row["query"]
    ]
    found = read_query_passages(written(tmp_path / "pairs.jsonl", rows))
    other = read_query_passages(written(tmp_path / "triples.jsonl", triples))
    assert [(o.query, o.positives, o.negatives) for o in found] == [
        (o.query, o.positives, o.negatives) for o in other
    ]
    assert len(found) == 4
    assert found[1].where.endswith("line 6")


def test_rows_of_a_synthesis_are_read_and_titles_stand_before(tmp_path: Path):
    row = {
        "id": "1", "query": "q", "passage": "p", "title": "T", "trace": "t", "relevant": True,
        "verdict": "true", "votes": [True], "sources": [],
    }  # fmt: skip
    (one,) = read_query_passages(written(tmp_path / "rows.jsonl", [row, row]))
    assert (one.positives, one.negatives) == (("T p",), ())


FINE: dict[str, Any] = {"query": "q", "passage": "p", "label": 1}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (FINE | {"label": 0.5}, "line 2: 'label' must be 0 or 1"),
        (FINE | {"label": None}, "line 2: 'label' must be 0 or 1"),
        (FINE | {"label": float("nan")}, "line 2: 'label' must be 0 or 1"),
        (FINE | {"relevant": False}, "line 2: 'label' and 'relevant' contradict"),
        (FINE | {"passage": " "}, "line 2: 'passage' is missing or empty"),
        (FINE | {"query": 3}, "line 2: 'query' must be a text"),
        (FINE | {"score": 3}, "line 2: unknown column 'score'"),
        ({"query": "q", "passage": "x"}, "line 2: there is none of 'label'"),
        ({"anchor": "q", "positive": "x", "negative": "x"}, "line 2: 'positive' and 'negative' are the same"),
        ({"anchor": "q", "positive": "x"}, "line 2: 'negative' is missing or empty"),
        ({"anchor": "q", "positive": "x", "negative": "y", "label": 1}, "line 2: unknown column 'label'"),
        (
            FINE | {"label": 0},
            "line 2: the passage 'p' is not relevant to 'q', but in .*line 1 it is relevant",
        ),
        ({"anchor": "q", "positive": "y", "negative": "p"}, "line 2: the passage 'p' is not relevant"),
        ("text", "line 2: expected a JSON object"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: Any, said: str):
    with pytest.raises(InputError, match=said):
        read_query_passages(written(tmp_path / "rows.jsonl", [FINE, row]))


def test_a_file_without_positives_teaches_nothing(tmp_path: Path):
    with pytest.raises(InputError, match="no query has a passage that is relevant"):
        read_query_passages(written(tmp_path / "rows.jsonl", [FINE | {"label": 0}]))


_TEXTS = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=6)


@given(st.lists(st.tuples(_TEXTS, _TEXTS), min_size=1, max_size=5), st.integers(0, 12), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_no_positive_is_ever_drawn_and_nothing_twice(held: Any, count: int, seed: int):
    queries = [
        QueryPassages(f"q{i}", tuple(good), tuple(one for one in bad if one not in good), "")
        for i, (good, bad) in enumerate(held)
    ]
    pool = {text for one in queries for text in (*one.positives, *one.negatives)}
    for one in queries:
        found = NegativeSampler(queries, seed).negatives(one, "p", count)
        assert not set(found) & set(one.positives)
        assert len(set(found)) == len(found) == min(count, len(pool - set(one.positives)))
        assert set(found) <= set(one.negatives) or set(one.negatives) <= set(found)
        assert found == NegativeSampler(queries[::-1], seed).negatives(one, "p", count)
