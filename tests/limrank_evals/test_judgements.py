"""Judgements as TREC and as BEIR write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limrank_evals.judgements import about_judgements, judgement_lines, read_judgements, relevant
from limrank_plugins.errors import InputError


def test_both_forms_hold_the_same(tmp_path: Path):
    trec, beir = tmp_path / "x.trec", tmp_path / "test.tsv"
    trec.write_text("q1 0 a 1\nq1\t0\tb\t0\nq2 Q0 a -2\n")
    beir.write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t0\nq2\ta\t-2\n")
    wanted = {"q1": {"a": 1, "b": 0}, "q2": {"a": -2}}
    assert read_judgements(trec) == read_judgements(beir) == wanted
    assert relevant(wanted, "q1") == ["a"]
    assert relevant(wanted, "q2") == relevant(wanted, "q3") == []


HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no judgements"),
        (HEADER, "no judgements"),
        (HEADER + "q\ta\n", "line 2: expected 3 columns"),
        (HEADER + "q\ta\t1\nq\ta\t0\n", "line 3: document 'a' is judged twice"),
        (HEADER + "q\ta\t0.5\n", "line 2: the grade must be a whole number"),
        ("q 0 a\n", "line 1: a qrels line has 4 columns"),
        ("q\ta\t1\n", "begins with its header line `query-id corpus-id score`"),
        ("q 0 a 1\nq 0 a 1\n", "line 2: document 'a' is judged twice"),
        ("q 0 a yes\n", "whole number"),
        ("q 0 a ²\n", "whole number"),
        ("q 0 a --1\n", "whole number"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "qrels"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_judgements(path)


def test_a_models_are_marked_wherever_they_are_copied_to(tmp_path: Path):
    qrels = {"q1": {"a": 3, "b": 0}}
    mine, people, table = tmp_path / "mine.trec", tmp_path / "people.trec", tmp_path / "qrels.tsv"
    mine.write_bytes(judgement_lines(qrels, in_columns=True, by_model=True))
    people.write_bytes(judgement_lines(qrels, in_columns=True))
    table.write_bytes(judgement_lines(qrels, in_columns=False, by_model=True))
    assert read_judgements(mine) == read_judgements(people) == read_judgements(table) == qrels
    assert about_judgements(mine) == [f"the judgements in {mine} are a model's, not people's"]
    assert about_judgements(people) == about_judgements(table) == []
    mark = {"schema": "limrank judgements 1", "qrels": "qrels.tsv", "model": "gpt"}
    (tmp_path / "judge.json").write_text(json.dumps(mark))
    assert about_judgements(table) == [f"the judgements in {table} are a model's (gpt), not people's"]
    assert about_judgements(people) == []
