"""Largest remainders against their definition."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_synth.quotas import largest_remainder

WEIGHTS = st.dictionaries(st.integers(0, 9), st.floats(0, 1e6), min_size=1).filter(lambda w: any(w.values()))


@settings(deadline=None)
@given(st.integers(0, 10_000), WEIGHTS)
def test_counts_sum_up_and_stay_within_one_of_their_shares(total: int, weights: dict[int, float]) -> None:
    counts = largest_remainder(total, weights)
    whole = sum(map(Fraction, weights.values()))
    assert sum(counts.values()) == total
    shares = {key: total * Fraction(weight) / whole for key, weight in weights.items()}
    for key, share in shares.items():
        assert counts[key] in (math.floor(share), math.ceil(share))
    # Whoever was rounded up had no smaller remainder than anybody who was rounded down.
    up = [shares[k] % 1 for k in shares if counts[k] > math.floor(shares[k])]
    down = [shares[k] % 1 for k in shares if counts[k] == math.floor(shares[k])]
    assert not up or not down or min(up) >= max(down)


@settings(deadline=None)
@given(st.dictionaries(st.integers(), st.integers(1, 500), min_size=1), st.data())
def test_no_count_exceeds_its_group(sizes: dict[int, int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(sizes.values())))
    counts = largest_remainder(total, {key: float(size) for key, size in sizes.items()})
    assert all(counts[key] <= size for key, size in sizes.items())


def test_equal_remainders_go_to_the_first() -> None:
    assert largest_remainder(1, {"a": 1.0, "b": 1.0}) == {"a": 1, "b": 0}


def test_senseless_requests_are_refused() -> None:
    assert largest_remainder(0, {"a": 0.0}) == {"a": 0}
    for total, weights in ((1, {"a": 0.0}), (-1, {"a": 1.0}), (1, {"a": 2.0, "b": -1.0})):
        with pytest.raises(InputError):
            largest_remainder(total, weights)
