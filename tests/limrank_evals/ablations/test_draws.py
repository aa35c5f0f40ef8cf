"""Draws: nested, stratified, decided by the rows and the seed alone."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_rows import rank1_file, rank1_record, rows, rows_file

from limrank_evals.ablations.arms import Arm
from limrank_evals.ablations.draws import STRATA, draw, stratified
from limrank_evals.ablations.pools import Pool, TrainingRow, read_pool
from limrank_plugins.errors import InputError
from limrank_synth.mix import MIX, Blend, mix


def entry(
    number: int, label: str = "true", pool: str = "p", kind: str = "", domain: str = "", **more
) -> TrainingRow:
    digest = number.to_bytes(16, "big")
    made = TrainingRow(pool, number, digest, digest, label, "s", kind, domain, "", "")
    return made._replace(**more)


def pool_of(entries: list[TrainingRow], name: str = "p") -> dict[str, Pool]:
    return {name: Pool(name, Path("rows.jsonl"), tuple(one._replace(pool=name) for one in entries))}


KINDS = st.sampled_from(["", "daily-life", "expert"])
STRATUM = st.tuples(st.sampled_from(["true", "false"]), KINDS, st.sampled_from("abc"))
ENTRIES = st.lists(STRATUM, min_size=1, max_size=60).map(
    lambda found: [entry(i, one, kind=kind, domain=domain) for i, (one, kind, domain) in enumerate(found)]
)


@given(ENTRIES, st.integers(0, 3), st.data())
def test_every_beginning_has_the_labels_and_strata_in_proportion(entries, seed, data):
    ordered = stratified(entries, seed)
    assert Counter(ordered) == Counter(entries)
    size = data.draw(st.integers(0, len(entries)))
    cut = ordered[:size]
    whole, part = Counter(e.label for e in entries), Counter(e.label for e in cut)
    for label, number in whole.items():
        # Webster's method keeps within 1 of the exact share for up to three groups (Balinski, Young 1982).
        assert abs(part[label] - size * number / len(entries)) <= 1
        among = [e for e in entries if e.label == label]
        for kind, count in Counter(e.kind for e in among).items():
            found = sum(e.label == label and e.kind == kind for e in cut)
            assert abs(found - part[label] * count / len(among)) <= 1


@given(ENTRIES, st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_order_of_the_file_changes_nothing_and_the_seed_does(entries, seed, dice):
    mixed = dice.sample(entries, len(entries))
    assert stratified(mixed, seed) == stratified(entries, seed)
    if len(set(entries)) > 20:
        assert stratified(entries, seed) != stratified(entries, seed + 1)


@given(ENTRIES, st.integers(0, 3), st.data())
def test_smaller_arms_are_part_of_larger_ones(entries, seed, data):
    pools = pool_of(entries)
    sizes = sorted(data.draw(st.sets(st.integers(1, len(entries)), min_size=1, max_size=4)))
    full = Arm("full", {"p": None})
    drawn = [draw(replace(full, total=size), pools, seed) for size in sizes]
    assert [len(one.rows) for one in drawn] == sizes
    for small, large in pairwise(drawn):
        assert large.rows[: len(small.rows)] == small.rows
    # The same for the number that is taken of one pool.
    counted = [draw(Arm("full", {"p": size}), pools, seed) for size in sizes]
    for small, large in pairwise(counted):
        assert small.digests <= large.digests


@given(ENTRIES, st.integers(0, 3), st.integers(1, 40))
def test_what_is_taken_out_is_replaced_by_others_of_the_same_strata(entries, seed, count):
    pools = pool_of(entries)
    without = Arm("w", {"p": count}, without=("kind=daily-life",))
    left = [e for e in entries if e.kind != "daily-life"]
    if len(left) == len(entries) or count > len(entries):
        with pytest.raises(InputError):
            draw(without, pools, seed)
        return
    if count <= len(left):
        found = draw(without, pools, seed)
        assert len(found.rows) == count
        assert not any(e.kind == "daily-life" for e in found.rows)
    # Not replaced: exactly the rows of the whole arm that are of another kind.
    whole = draw(Arm("full", {"p": count}), pools, seed)
    kept = [e for e in whole.rows if e.kind != "daily-life"]
    smaller = replace(without, refill=False)
    if not kept:
        with pytest.raises(InputError, match="no rows left"):
            draw(smaller, pools, seed)
        return
    found = draw(smaller, pools, seed)
    assert list(found.rows) == kept
    assert found.taken_out == len(whole.rows) - len(kept)


def test_no_stratum_is_always_first():
    firsts = {stratified([entry(1, "true"), entry(2, "false")], seed)[0].label for seed in range(20)}
    assert firsts == {"true", "false"}
    assert STRATA[0] == "label"


def test_a_row_of_two_pools_is_drawn_once():
    pools = pool_of([entry(i) for i in range(6)], "a") | pool_of([entry(i) for i in range(4, 10)], "b")
    drawn = draw(Arm("both", {"a": None, "b": 3}), pools, 0)
    assert sorted(e.digest for e in drawn.rows)[:6] == [entry(i).digest for i in range(6)]
    assert len(drawn.digests) == 9
    with pytest.raises(InputError, match="wants 5 rows of 'b', which has 6"):
        draw(Arm("both", {"a": None, "b": 5}), pools, 0)


def test_too_few_rows_are_told_with_the_way_out():
    pools = pool_of([entry(i, kind="expert" if i else "daily-life") for i in range(4)])
    with pytest.raises(InputError, match="wants 9 rows of 'p', which has 4: ask for fewer"):
        draw(Arm("full", {"p": 9}), pools, 0)
    with pytest.raises(InputError, match=r"has 4, and 3 without daily-life: .* refill: false"):
        draw(Arm("less", {"p": 4}, without=("daily-life",)), pools, 0)
    with pytest.raises(InputError, match="wants 9 rows in total, but has 4"):
        draw(Arm("full", {"p": None}, total=9), pools, 0)


# ---- files --------------------------------------------------------------------------------------


def test_pools_are_what_synthesis_and_rank1_write(tmp_path: Path):
    (tmp_path / "run").mkdir()
    rows_file(tmp_path / "run" / "rows.jsonl", rows(4))
    found = read_pool("synthetic", tmp_path / "run")
    assert len(found.rows) == 16
    first = found.rows[0]
    assert (first.label, first.kind, first.domain) == ("true", "daily-life", "engineering")
    assert (first.difficulty, first.intent) == ("easy", "direct")
    assert first.source.startswith("our seeds + ")
    # A mix, whose Rank1-style rows have no kind, packed.
    rank1 = rank1_file(tmp_path / "rank1.jsonl", 8)
    mix([str(rank1)], [str(tmp_path / "run")], tmp_path / "mix", Blend(4, 8), allow_non_commercial=True)
    packed = tmp_path / "mix.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "mix" / "rows.jsonl").read_bytes()))
    for path in (tmp_path / "mix", packed):
        mixed = read_pool("mix", path)
        assert Counter(bool(e.kind) for e in mixed.rows) == {True: 8, False: 4}
    assert (tmp_path / "mix" / MIX).is_file()


def test_rows_of_any_plan_can_be_drawn(tmp_path: Path):
    lines = [
        {"query": "q", "passages": ["a", "b"], "best": 1},
        {"query": "q", "passages": ["a", "c"], "best": 1},
        {"query": "q", "passage": "a", "grade": 2},
        {"query": " q", "passage": "a ", "grade": 1},
        rank1_record(),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_pool("p", path)
    assert [e.label for e in found.rows] == ["", "", "2", ""]
    assert found.repeated == 1  # equal query and passage, white space aside


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no rows"), ("{}\n[1]\n", "line 2: expected a JSON object"), ("{\n", "line 1: not JSON")],
)
def test_bad_pools(tmp_path: Path, text: str, message: str):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(InputError, match=message):
        read_pool("p", tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        read_pool("p", tmp_path / "none.jsonl")


def test_counts_are_of_the_rows_that_are_drawn():
    entries = [entry(i, str(i % 3 == 0).lower(), kind="expert" if i % 2 else "") for i in range(30)]
    drawn = draw(Arm("full", {"p": None}, total=15), pool_of(entries), 1)
    counts = drawn.counts()
    assert counts["label"] == {"false": 10, "true": 5}
    assert sum(counts["kind"].values()) == 15
    other = draw(Arm("full", {"p": None}, total=15), pool_of(random.Random(0).sample(entries, 30)), 1)
    assert drawn.digest == other.digest
    assert drawn.digest != draw(Arm("full", {"p": None}, total=14), pool_of(entries), 1).digest
