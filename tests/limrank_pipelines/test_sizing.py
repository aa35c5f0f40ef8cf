"""What reranking takes: the formula by hand, scaling, and a ranking's own usage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import reranker
from typer.testing import CliRunner

from limrank_pipelines.sizing import Load, Rates, Size, as_markdown, size, sizes
from limrank_plugins import Usage
from limrank_plugins.cli import build_app
from limrank_plugins.errors import InputError

LOAD = Load(prompt_tokens=400, generated_tokens=300, shared_tokens=100)
RATES = Rates(prompt_rate=3000, generation_rate=600, dollars=2.5, busy=0.5)


def test_by_hand():
    # A pair: 300 / 3000 + 300 / 600 = .6 s of work, 1.2 s of time at half load; 3,000 of them an hour.
    assert size(3000, LOAD, RATES) == Size(
        3000, 1_200_000, 900_000, 900_000, pytest.approx(1), pytest.approx(2.5)
    )
    assert size(3000, LOAD, RATES).wall_hours(4) == pytest.approx(0.25)
    assert size(0, LOAD, RATES) == Size(0, 0, 0, 0, 0, 0)


def test_one_forward_pass_needs_no_rate_of_generation():
    assert size(36_000, Load(100), Rates(1000)).gpu_hours == 1
    with pytest.raises(InputError, match="generation_rate"):
        size(1, LOAD, Rates(1000))


@given(st.integers(0, 10**9), st.floats(0, 5000), st.floats(0, 5000), st.floats(1, 1e6), st.floats(1, 1e6))
def test_it_grows_with_the_pairs_and_falls_with_the_rates(pairs: int, t: float, g: float, p: float, d: float):
    full = size(pairs, Load(t, g), Rates(p, d, dollars=2))
    assert size(2 * pairs, Load(t, g), Rates(p, d)).gpu_hours == pytest.approx(2 * full.gpu_hours)
    assert size(pairs, Load(t, g), Rates(2 * p, 2 * d)).gpu_hours == pytest.approx(full.gpu_hours / 2)
    assert full.dollars == pytest.approx(2 * full.gpu_hours)


def test_the_load_of_a_ranking():
    ranking = reranker(reasoning="full").rank("why", ["bread", "acid curdles milk", "moon"])
    load = Load.of(ranking.usage, 3)
    assert load.prompt_tokens * 3 == pytest.approx(ranking.usage.prompt_tokens)
    assert load.generated_tokens * 3 == pytest.approx(ranking.usage.generated_tokens)
    with pytest.raises(InputError, match="measure without a store"):
        Load.of(Usage(prompt_tokens=5, cached=1), 3)
    with pytest.raises(InputError, match="pairs"):
        Load.of(Usage(), 0)


def test_the_table():
    table = as_markdown(sizes(LOAD, RATES), gpus=8)
    rows = [line.split(" | ") for line in table.splitlines()]
    assert len(rows) == 2 + 7
    assert rows[2][0] == "| 1 K"
    assert rows[-1] == ["| 1 G", "400 G", "300 G", "300 G", "333 K", "41.7 K", "833 K |"]
    assert "hours on 8 GPUs" in rows[0]
    assert as_markdown([size(999_999, Load(1), Rates(1))]).splitlines()[2].startswith("| 1 M | 1 M |")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Load(-1), "prompt_tokens"),
        (lambda: Load(10, float("nan")), "generated_tokens"),
        (lambda: Load(10, 0, 11), "shared_tokens"),
        (lambda: Rates(0), "prompt_rate"),
        (lambda: Rates(1, 0), "generation_rate"),
        (lambda: Rates(1, dollars=-1), "dollars"),
        (lambda: Rates(1, busy=0), "busy"),
        (lambda: Rates(1, busy=1.5), "busy"),
        (lambda: Rates("fast"), "prompt_rate"),  # type: ignore[arg-type]
        (lambda: size(-1, LOAD, RATES), "pairs"),
        (lambda: size(1, LOAD, RATES).wall_hours(0), "gpus"),
    ],
)
def test_values_that_cannot_be_used_are_named(make: Any, named: str):
    with pytest.raises(InputError, match=named):
        make()


def test_the_command():
    app = build_app()
    given = ["size", "--prompt-tokens", "400", "--shared-tokens", "100", "--prompt-rate", "3000"]
    given += ["--generated-tokens", "300", "--generation-rate", "600", "--dollars", "2.5", "--busy", "0.5"]
    shown = CliRunner().invoke(app, [*given, "--gpus", "8"])
    assert shown.stdout == as_markdown(sizes(LOAD, RATES), 8)
    rows = json.loads(CliRunner().invoke(app, [*given, "--from", "6", "--to", "6", "--json"]).stdout)
    assert [(row["pairs"], row["gpu_hours"]) for row in rows] == [(10**6, pytest.approx(1e6 / 3000))]
    refused = CliRunner().invoke(app, [*given, "--from", "9", "--to", "3"])
    assert (refused.exit_code, "--from" in refused.output) == (2, True)
