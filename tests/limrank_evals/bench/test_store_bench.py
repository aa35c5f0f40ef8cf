"""`limrank bench store` on little work: what is measured is what is said, and memory does not grow."""

from __future__ import annotations

import json

import pytest

from limrank_evals.bench import store
from limrank_evals.cli.bench_store import store as command
from limrank_plugins.reply_store import ReplyStore, To


def test_the_json_of_a_quick_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(store, "QUICK_PAIRS", 1_000)
    monkeypatch.setattr(store, "_AT_ONCE", 1)
    command(quick=True, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["bench"], printed["rounds"], printed["aim"]) == ("store", 3, 2.0)
    assert [row["name"] for row in printed["repeated"]] == ["without reasoning", "with reasoning"]
    assert all(0 < row["store_milliseconds"] < row["milliseconds"] for row in printed["repeated"])
    assert [row["pairs"] for row in printed["streamed"]] == [100, 1_000]
    assert {row["pairs_at_once"] for row in printed["streamed"]} == {100}


def test_what_is_looked_up_is_there(monkeypatch: pytest.MonkeyPatch):
    looked_up: list[int] = []

    class Watched(ReplyStore):
        def find(self, requests: list[To]) -> list:  # type: ignore[override]
            replies = super().find(requests)
            looked_up.append(sum(reply is not None for reply in replies))
            return replies

    monkeypatch.setattr(store, "ReplyStore", Watched)
    monkeypatch.setattr(store, "_AT_ONCE", 1)
    list(store.repeated(1))
    assert looked_up == [store.DEPTH] * 4  # a round that is not timed and one that is, of two kinds


def test_memory_is_that_of_a_partition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "_PARTITION", 2)
    store.streamed(2_000)  # what is imported and cached for the first
    few, many = [[store.streamed(pairs) for _ in range(3)] for pairs in (400, 2_000)]
    assert {run.pairs for run in few} == {400}
    assert {run.pairs for run in many} == {2_000}
    # The smallest of three: when garbage is collected moves a peak by a quarter.
    assert min(run.peak_bytes for run in many) < 1.25 * min(run.peak_bytes for run in few)
