"""What may be spent: how it is written, and when it is used up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.wrappers.budget import Budget

amounts = st.none() | st.integers(1, 10**9)
seconds = st.none() | st.integers(1, 10**6).map(lambda thousandths: thousandths / 1000)


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        ("20 documents", Budget(documents=20)),
        ("1 document", Budget(documents=1)),
        ("50000 tokens", Budget(tokens=50_000)),
        ("2.5 seconds", Budget(seconds=2.5)),
        (" 3 documents , 40 tokens,5 seconds ", Budget(3, 40, 5.0)),
        ("999999999999999 tokens", Budget(tokens=999_999_999_999_999)),
        (None, Budget()),
        (Budget(3), Budget(3)),
    ],
)
def test_a_budget_is_read_as_it_is_written(written: object, budget: Budget):
    assert Budget.of(written) == budget


@given(amounts, amounts, seconds)
def test_what_is_written_is_read_again(documents: int | None, tokens: int | None, time: float | None):
    budget = Budget(documents, tokens, time)
    if budget != Budget():
        assert Budget.of(str(budget)) == budget


@pytest.mark.parametrize(
    "written",
    [
        *("", "20", "documents", "20documents", "-1 tokens", "0 tokens", "0.0 seconds", "2.5 documents"),
        *("1e3 tokens", "5 tokens, 6 token", "5 tokens,", "5 minutes", "٣ tokens", 5, 2.5, True),
        *("9" * 400 + " tokens", "9" * 5000 + " documents"),
    ],
)
def test_anything_else_is_named(written: object):
    with pytest.raises(InputError):
        Budget.of(written)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "3", math.nan])
def test_amounts_are_whole_and_positive(bad: object):
    with pytest.raises(InputError, match="documents"):
        Budget(documents=bad)
    with pytest.raises(InputError, match="tokens"):
        Budget(tokens=bad)


@pytest.mark.parametrize("bad", [0, -1.0, True, "3", math.nan, math.inf])
def test_seconds_are_positive_numbers(bad: object):
    with pytest.raises(InputError, match="seconds"):
        Budget(seconds=bad)


def test_tokens_are_those_computed_and_those_written():
    usage = Usage(prompt_tokens=100, shared_tokens=60, generated_tokens=5, seconds=1.0)
    assert Budget(tokens=45).spent(usage)
    assert not Budget(tokens=46).spent(usage)
    assert Budget(seconds=1.0).spent(usage)
    assert not Budget(seconds=1.1).spent(usage)
    assert Budget(tokens=1000, seconds=0.5).spent(usage), "what is used up first ends it"
    assert not Budget(documents=1).spent(usage), "documents are counted beforehand"
    assert not Budget().spent(usage)


@given(st.integers(0, 30), st.booleans())
def test_waves_are_of_eight_only_where_something_is_looked_at_between(size: int, early: bool):
    waves = Budget(tokens=5 if early else None).waves(range(size))
    assert [i for wave in waves for i in wave] == list(range(size))
    if early:
        assert all(len(wave) == 8 for wave in waves[:-1])
        assert all(1 <= len(wave) <= 8 for wave in waves)
    else:
        assert len(waves) == (size > 0)
