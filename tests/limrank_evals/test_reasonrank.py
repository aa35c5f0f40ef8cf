"""ReasonRank's result files, whole and cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reasonrank_results import PublishedRow, read_reasonrank

from limrank_plugins.errors import InputError

RECORD = {
    "model_path": "/somewhere//trained_models/reasonrank-7B",
    "lora_path": None,
    "retrieval_method": "reasonir",
    "rerank_topk": 100,
    "current_pass": 1,
    "notes": "",
    "NDCG@1": "28.71",
    "NDCG@10": "30.70",
}
ROW = PublishedRow("reasonrank-7B", "reasonir", 100, 1, {"nDCG@1": 28.71, "nDCG@10": 30.7})


def test_whole_and_cut_files(tmp_path: Path):
    whole = json.dumps([RECORD, RECORD], indent=4)
    path = tmp_path / "robotics.json"
    path.write_text(whole)
    assert read_reasonrank(path) == ([ROW, ROW], False)
    second = whole.index("}") + 1
    for end in range(second, len(whole) - 1):
        path.write_text(whole[:end])
        rows, cut_short = read_reasonrank(path)
        assert cut_short
        assert rows == ([ROW] if end <= whole.rindex("}") else [ROW, ROW])


@pytest.mark.parametrize("text", ["", "{}", "[]", "[{", '[{"model_path": 1}]', "[1]", '["x"]'])
def test_what_is_none(tmp_path: Path, text: str):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_reasonrank(path)
