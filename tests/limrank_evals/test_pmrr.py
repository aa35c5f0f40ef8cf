"""p-MRR against numbers worked out by hand and a plain transcription of its formula."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.measures import measure
from limrank_evals.pmrr import changed_documents, moved_by, p_mrr
from limrank_plugins.errors import InputError


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (1, 1, 0.0),
        (7, 7, 0.0),
        (1, 2, 0.5),
        (2, 1, -0.5),
        (1, 10, 0.9),
        (10, 1, -0.9),
        (4, 5, 0.2),
        (5, 4, -0.2),
    ],
)
def test_one_document_by_hand(before: int, after: int, value: float):
    assert moved_by(before, after) == pytest.approx(value)


def test_a_run_by_hand():
    ranked = {
        "1-og": ["a", "b", "c"],
        "1-changed": ["b", "c", "a"],
        "2-og": ["x", "y"],
        "2-changed": ["x"],
        "3-og": ["x"],
    }
    # Query 1: a from 1 to 3 (+2/3), b from 2 to 1 (-1/2). Query 2: y from 2 to "one more than 1" (0),
    # z from 3 to 2 (-1/3). Query 3 has one side only, query 4 no changed document.
    found = p_mrr(ranked, {"1": ["a", "b"], "2": ["y", "z"], "3": ["x"], "4": []})
    assert found.per_query == pytest.approx({"1": (2 / 3 - 1 / 2) / 2, "2": -1 / 6})
    assert found.mean == pytest.approx((1 / 12 - 1 / 6) / 2)
    assert found.left_out == ("3",)
    assert p_mrr(ranked, {"3": ["x"]}).mean is None


DOCUMENTS = [f"d{i}" for i in range(10)]
LIST = st.lists(st.sampled_from(DOCUMENTS), unique=True)


@given(
    st.dictionaries(
        st.sampled_from("123"),
        st.tuples(LIST, LIST, st.sets(st.sampled_from(DOCUMENTS), min_size=1)),
        min_size=1,
    )
)
def test_against_a_plain_transcription(queries: dict[str, tuple[list[str], list[str], set[str]]]):
    def rank(document: str, found: list[str]) -> int:
        return found.index(document) + 1 if document in found else len(found) + 1

    per_query = []
    for before, after, documents in queries.values():
        values = []
        for document in documents:
            old, new = rank(document, before), rank(document, after)
            values.append((1 / old) / (1 / new) - 1 if old >= new else 1 - (1 / new) / (1 / old))
        per_query.append(sum(values) / len(values))
    ranked = {f"{q}-og": found[0] for q, found in queries.items()}
    ranked |= {f"{q}-changed": found[1] for q, found in queries.items()}
    found = p_mrr(ranked, {q: sorted(found[2]) for q, found in queries.items()})
    assert found.mean == pytest.approx(sum(per_query) / len(per_query))
    assert -1 <= (found.mean or 0) <= 1


def test_changed_documents_come_from_the_judgements():
    qrels = {
        "1-og": {"a": 2, "b": 1, "c": 0},
        "1-changed": {"a": 0, "b": 1, "c": 0},
        "2-og": {"a": 1},
        "2-changed": {"b": 1},
    }
    assert changed_documents(qrels) == {"1": ["a"], "2": ["a"]}
    ranked = {"1-og": ["a", "b"], "1-changed": ["b", "a"], "2-og": ["a"], "2-changed": ["a"]}
    found = measure(ranked, qrels, ["p-MRR", "RR"])
    assert found.means["p-MRR"] == pytest.approx((0.5 + 0) / 2)
    assert found.per_query["p-MRR"] == {"1": 0.5, "2": 0.0}
    half = measure({"1-og": ["a"], "1-changed": ["a"], "2-og": ["a"]}, qrels, ["p-MRR"])
    assert half.warnings == ("1 query (2) not answered on both sides: p-MRR leaves them out",)


def test_bad_input():
    with pytest.raises(InputError, match="there are none"):
        changed_documents({"1": {"a": 1}})
    with pytest.raises(InputError, match="'1' has one only"):
        changed_documents({"1-og": {"a": 1}})
    with pytest.raises(InputError, match="no query that was answered on both sides"):
        measure({"1-og": ["a"]}, {"1-og": {"a": 1}, "1-changed": {"a": 0}}, ["p-MRR"])
    with pytest.raises(InputError, match="these repeat"):
        p_mrr({"1-og": ["a", "a"], "1-changed": []}, {"1": ["a"]})
