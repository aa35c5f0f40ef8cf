"""Quotas, distances and what is dropped, against their definitions."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synth_texts import clean_rows

from limrank_synth.filters.coverage import Coverage, coverage_report, distance_by_chance, total_variation
from limrank_synth.guidelines import load_guidelines
from limrank_synth.records import LabelledPassage

GUIDELINES = load_guidelines()
ONE = clean_rows(1)[0]


def row(number: int, kind: str, domain: str, difficulty: str) -> LabelledPassage:
    name = f"q{number}"
    return replace(ONE, id=f"{name}/0", query_id=name, kind=kind, domain=domain, difficulty=difficulty)


def drawn(count: int, seed: int, weights: dict[str, list[float]] | None = None) -> list[LabelledPassage]:
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        kind = rng.choice(list(GUIDELINES.kind))
        domain = rng.choice(list(GUIDELINES.domain[kind]))
        shares = (weights or {}).get("difficulty", [25, 40, 35])
        rows.append(row(number, kind, domain, rng.choices(["easy", "medium", "hard"], shares)[0]))
    return rows


def counted(rows: list[LabelledPassage], axis: str) -> Counter[str]:
    return Counter({one.query_id: getattr(one, axis) for one in rows}.values())


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), min_size=1))
def test_total_variation_is_half_the_sum_of_differences(counts: dict[str, int]):
    target = {"a": 0.5, "b": 0.3, "c": 0.2}
    total = sum(counts.values())
    expected = sum(
        abs((counts.get(v, 0) / total if total else target.get(v, 0)) - target.get(v, 0)) for v in "abcd"
    )
    assert total_variation(counts, target) == pytest.approx(expected / 2, abs=1e-12)
    assert 0 <= total_variation(counts, target) <= 1


def test_the_distance_by_chance_is_what_chance_does():
    target, size, rng = GUIDELINES.domain["expert"], 120, random.Random(0)
    values = list(target)
    found = [
        total_variation(Counter(rng.choices(values, list(target.values()), k=size)), target)
        for _ in range(400)
    ]
    assert sum(found) / len(found) == pytest.approx(distance_by_chance(target, size), rel=0.03)


def test_what_chance_does_is_let_pass():
    for seed in range(20):
        rows = drawn(100, seed)
        assert len(Coverage(GUIDELINES)(rows).kept) >= 0.8 * len(rows)
    passed = [len(Coverage(GUIDELINES)(drawn(100, seed)).kept) == 100 for seed in range(20)]
    assert sum(passed) >= 16


def test_a_surplus_goes_until_the_shares_hold():
    rows = drawn(2000, 1, {"difficulty": [40, 35, 25]})
    filtered = Coverage(GUIDELINES, minimum=0.2)(rows)
    before = total_variation(counted(rows, "difficulty"), GUIDELINES.difficulty)
    after = total_variation(counted(filtered.kept, "difficulty"), GUIDELINES.difficulty)
    assert before > 0.1
    assert after < 0.01
    # The scarce value keeps all it has.
    assert counted(filtered.kept, "difficulty")["hard"] == counted(rows, "difficulty")["hard"]
    assert {one.reason.split("'")[1] for one in filtered.rejected} == {"easy", "medium"}


def test_the_minimum_stays_whatever_the_shares():
    rows = [row(number, "expert", "law", "easy") for number in range(100)]
    for minimum in (0.0, 0.3, 0.8, 1.0):
        kept = Coverage(GUIDELINES, minimum=minimum)(rows).kept
        assert len(kept) == round(100 * minimum)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["daily-life", "expert"]),
            st.sampled_from(["law", "finance", "unheard of", "travel and transport"]),
            st.sampled_from(["easy", "medium", "hard"]),
        ),
        max_size=60,
    ),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_always_the_minimum_and_always_the_same(
    targets: list[tuple[str, str, str]], minimum: float, seed: int
):
    rows = [row(number, *target) for number, target in enumerate(targets)]
    one = Coverage(GUIDELINES, minimum=minimum, seed=seed, tolerance=0.0)
    filtered = one(rows)
    assert len(filtered.kept) >= minimum * len(rows)
    assert len(filtered.kept) + len(filtered.rejected) == len(rows)
    # Whatever the order of the rows.
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert {kept.id for kept in one(shuffled).kept} == {kept.id for kept in filtered.kept}


def test_all_rows_of_a_query_go_or_stay_and_the_seed_decides_which():
    rows = [
        again
        for one in drawn(300, 3, {"difficulty": [60, 20, 20]})
        for again in (one, replace(one, id=one.id + "b"))
    ]
    kept = Coverage(GUIDELINES)(rows).kept
    assert all(number == 2 for number in Counter(one.query_id for one in kept).values())
    other = Coverage(GUIDELINES, seed=1)(rows).kept
    assert len(other) == len(kept)
    assert other != kept


def test_the_report():
    report = coverage_report(clean_rows(120), GUIDELINES)
    assert set(report) == {"kind", "domain (daily-life)", "domain (expert)", "difficulty"}
    assert report["kind"]["queries"] == 120
    assert report["difficulty"]["distance"] == pytest.approx(0, abs=1e-9)
    assert report["difficulty"]["shares"]["hard"] == {"target": pytest.approx(0.35), "achieved": 0.35}
    strange = coverage_report([row(0, "expert", "unheard of", "easy")], GUIDELINES)
    assert strange["domain (expert)"]["shares"]["unheard of"] == {"target": 0.0, "achieved": 1.0}
    assert strange["domain (daily-life)"]["distance"] is None
    assert coverage_report([], GUIDELINES)["kind"]["distance"] is None
