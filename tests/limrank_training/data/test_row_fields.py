"""Texts of rows: what holds nothing that can be seen is no text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limrank_plugins.errors import InputError
from limrank_training.data.group_rows import read_groups
from limrank_training.data.passage_rows import read_passage_rows
from limrank_training.data.row_fields import filled_text

ROW = {
    "query": "why does milk curdle",
    "passage": "acid curdles milk",
    "trace": "It says so.",
    "relevant": True,
}
UNSEEN = ["", " ", "\0", "\u200b", "\u2060\ufeff", "\u3164"]


@pytest.mark.parametrize("name", ["query", "passage", "trace"])
@pytest.mark.parametrize("text", UNSEEN)
def test_a_text_without_anything_that_can_be_seen_is_missing(tmp_path: Path, name: str, text: str):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({**ROW, name: text}) + "\n")
    with pytest.raises(InputError, match=rf"rows\.jsonl, line 1: '{name}' is missing or empty"):
        list(read_passage_rows(file))


def test_what_is_there_and_cannot_be_seen_is_shown():
    with pytest.raises(InputError, match=r"empty: '\\u200b' holds nothing that can be seen"):
        filled_text({"trace": "\u200b"}, "trace", "here")
    assert filled_text({"trace": "\u200bא"}, "trace", "here") == "\u200bא"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trace": "\u200b"}, "'trace' is '.u200b'"),
        ({"reasons": ["good", "\0"]}, "every one of the 'reasons'"),
        (
            {"passages": [{"text": "a", "grade": 1}, {"text": "\u2060", "grade": 0}]},
            "'text' is missing or empty",
        ),
    ],
)
def test_groups_are_held_to_the_same_rule(tmp_path: Path, change: dict[str, object], said: str):
    group = {"query": "why", "passages": [{"text": "a", "grade": 1}, {"text": "b", "grade": 0}]}
    file = tmp_path / "groups.jsonl"
    file.write_text(json.dumps({**group, **change}) + "\n")
    with pytest.raises(InputError, match=said):
        list(read_groups(file))
