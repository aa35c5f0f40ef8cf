"""`limrank bench served` against its own server: every backend is answered, over few connections."""

from __future__ import annotations

import json
from functools import partial

import pytest

pytest.importorskip("openai", reason="not installed: pip install 'limrank[openai]'")

from limrank_evals.bench import served
from limrank_evals.cli.bench_served import served as command

BACKENDS = ["openai", "rerank-api", "decisions", "decisions, dialect openai"]


def test_each_document_is_one_call_and_connections_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    # More at a time than the HTTP library keeps open by itself, which is 20.
    small = partial(served.measured, documents=56, concurrency=28, seconds=0.01)
    monkeypatch.setattr(served, "measured", small)
    command(quick=True, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["bench"], printed["rounds"], printed["aim"]) == ("served", 3, 1.15)
    assert [row["name"] for row in printed["backends"]] == BACKENDS
    for row in printed["backends"]:
        assert row["calls"] == 56 * (printed["rounds"] + 1)
        assert row["connections"] <= 28
        assert row["ideal_milliseconds"] == 20
        assert row["ratio"] >= 1  # the server never answers early
        assert row["cpu_milliseconds_per_call"] > 0


def test_the_table_names_the_ideal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    row = served.Served("openai", 221.0, 200.0, 1.105, 0.02, 1.04, 1.25, 32, 800)
    monkeypatch.setattr(served, "measured", lambda rounds: [row])
    command(quick=True)
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].split() == ["openai", "221", "1.105", "0.020", "1.040", "1.25", "32", "800"]
    assert "ideal: 200 ms; aim: 1.15 times that" in err
