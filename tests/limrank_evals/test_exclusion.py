"""Excluded documents: gone before any cut, so a run with them scores as one that never had them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.exclusion import check_judgements, count_excluded, exclude, read_excluded
from limrank_evals.measures import measure
from limrank_evals.runs import arranged, cut, run_lines_of
from limrank_plugins.errors import InputError

DOCUMENTS = [f"d{i}" for i in range(30)]


@given(
    st.lists(st.sampled_from(DOCUMENTS), unique=True, min_size=12, max_size=30),
    st.sets(st.sampled_from(DOCUMENTS[:12])),
    st.sets(st.sampled_from(DOCUMENTS[12:]), min_size=1),
)
def test_a_run_with_excluded_documents_scores_as_one_without(found: list[str], out: set[str], gold: set[str]):
    qrels = {"q": dict.fromkeys(gold, 1)}
    ranked = {"q": found}
    clean = {"q": [d for d in found if d not in out]}
    kept = exclude(ranked, {"q": out, "other": set(DOCUMENTS)})
    assert count_excluded(kept, {"q": out}) == 0
    assert count_excluded(ranked, {"q": out}) == len(out & set(found))
    for depth in (1, 10):
        assert measure(cut(kept, depth), qrels).means == measure(cut(clean, depth), qrels).means


def test_the_place_of_an_excluded_document_is_taken_by_the_next():
    rows = run_lines_of({"q": {"self": 9.0, "gold": 8.0}})
    qrels = {"q": {"gold": 1}}
    ranked = arranged(rows)
    assert measure(cut(exclude(ranked, {"q": {"self"}}), 1), qrels, ["RR"]).means == {"RR": 1.0}
    assert measure(exclude(cut(ranked, 1), {"q": {"self"}}), qrels, ["RR"]).means == {"RR": 0.0}


def test_both_file_forms(tmp_path: Path):
    columns, examples = tmp_path / "x.txt", tmp_path / "x.jsonl"
    columns.write_text("0 leetcode/a.txt\n0 leetcode/b.txt\n1 c\n")
    rows = [
        {"id": "0", "excluded_ids": ["leetcode/a.txt", "leetcode/b.txt"], "query": "?"},
        {"id": 1, "excluded_ids": ["c", "N/A"]},
        {"id": "2", "excluded_ids": ["N/A"]},
    ]
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    wanted = {"0": {"leetcode/a.txt", "leetcode/b.txt"}, "1": {"c"}}
    assert read_excluded(columns) == wanted
    assert read_excluded(examples) == {**wanted, "2": set()}


@pytest.mark.parametrize(
    "line", ["0", "0 a b", '{"id": "0"}', '{"id": "0", "excluded_ids": "N/A"}', "[]", "{"]
)
def test_bad_lines_are_named(tmp_path: Path, line: str):
    path = tmp_path / ("x.jsonl" if line[0] in "{[" else "x.txt")
    path.write_text(line + "\n")
    with pytest.raises(InputError, match="line 1"):
        read_excluded(path)


def test_a_document_cannot_be_relevant_and_excluded():
    check_judgements({"q": {"a": 0}}, {"q": {"a"}, "r": {"b"}})
    with pytest.raises(InputError, match="'a' is relevant for query 'q' and excluded"):
        check_judgements({"q": {"a": 1}}, {"q": {"a"}})
