"""Mixes: the numbers asked for, nothing twice, the same whatever the order, and licences that bind."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_rows import INTENT_NAMES, rank1_file, rank1_record, row, rows, rows_file

from limrank_plugins.errors import InputError
from limrank_synth.mix import Blend, mix
from limrank_synth.quotas import largest_remainder
from limrank_synth.records import DIFFICULTIES, KINDS, LabelledPassage, Source
from limrank_synth.run_files import read_rows


def mixed(
    folder: Path,
    blend: Blend,
    own: list[LabelledPassage] | None = None,
    records: list[dict[str, str]] | None = None,
) -> tuple[list[LabelledPassage], dict[str, Any]]:
    """A mix of these rows (default: 96 synthetic ones, 40 of Rank1's style) and its report."""
    folder.mkdir(exist_ok=True)
    runs = rows_file(folder / "run.jsonl", rows(24) if own is None else own)
    other = rank1_file(folder / "rank1.jsonl", 40)
    if records is not None:
        other.write_text("".join(json.dumps(record) + "\n" for record in records))
    report = mix([str(other)], [str(runs)], folder / "mix", blend, allow_non_commercial=True)
    return list(read_rows(folder / "mix" / "rows.jsonl")), report


def synthetic(found: list[LabelledPassage]) -> list[LabelledPassage]:
    return [one for one in found if one.kind]


def test_the_papers_numbers_are_the_default() -> None:
    assert (Blend().rank1, Blend().synthetic) == (14_000, 6_000)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_counts_labels_and_strata_are_as_asked(data: st.DataObject) -> None:
    def drawn(n: int, intent: str) -> LabelledPassage:
        kind, difficulty = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(DIFFICULTIES))
        return row(n, intent, kind=kind, difficulty=difficulty)

    own = [drawn(n, intent) for n in range(6) for intent in INTENT_NAMES]
    share = data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, None]))
    blend = Blend(data.draw(st.integers(1, 16)), data.draw(st.integers(1, 12)), share)
    with tempfile.TemporaryDirectory() as folder:
        found, report = mixed(Path(folder), blend, own)
    ours = synthetic(found)
    assert (len(found) - len(ours), len(ours)) == (blend.rank1, blend.synthetic)
    assert len({(one.query, one.passage) for one in found}) == len(found)
    labels = largest_remainder(blend.synthetic, {True: 0.5 if share is None else share,
                                                 False: 0.5 if share is None else 1 - share})  # fmt: skip
    assert Counter(one.relevant for one in ours) == Counter(labels)
    for label, number in labels.items():
        pool = Counter((one.kind, one.difficulty) for one in own if one.relevant == label)
        taken = Counter((one.kind, one.difficulty) for one in ours if one.relevant == label)
        for cell, size in pool.items():
            assert abs(taken[cell] - number * size / sum(pool.values())) < 1
    assert report["rows"] == len(found)
    assert report["relevant"] == sum(one.relevant for one in found)
    assert sum(entry["rows"] for entry in report["strata"]) == len(found)


def test_the_guidelines_shares_can_be_asked_for(tmp_path: Path) -> None:
    found, _ = mixed(tmp_path, Blend(0, 80, 0.5, "guidelines"), rows(60))
    # 25 : 40 : 35 of 40 rows of each label, half of them of each kind.
    assert Counter(one.difficulty for one in found) == {"easy": 20, "medium": 32, "hard": 28}
    assert Counter(one.kind for one in found) == {"daily-life": 40, "expert": 40}


def test_the_order_of_rows_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    own = rows(24)
    shuffled = random.Random(1).sample(own, len(own))
    first, _ = mixed(tmp_path / "a", Blend(20, 20), own)
    again, _ = mixed(tmp_path / "b", Blend(20, 20), shuffled)
    other, _ = mixed(tmp_path / "c", Blend(20, 20, seed=1), own)
    assert [one.id for one in first] == [one.id for one in again]
    assert (tmp_path / "a/mix/mix.json").read_bytes() == (tmp_path / "b/mix/mix.json").read_bytes()
    assert {one.id for one in first} != {one.id for one in other}
    # Drawn order, not source after source.
    kinds = [bool(one.kind) for one in first]
    assert kinds != sorted(kinds)
    assert kinds != sorted(kinds, reverse=True)


def test_smaller_mixes_are_drawn_from_larger_ones(tmp_path: Path) -> None:
    small, _ = mixed(tmp_path / "a", Blend(10, 8))
    large, _ = mixed(tmp_path / "b", Blend(20, 48))
    assert {one.id for one in small} < {one.id for one in large}


def test_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    own = rows(4)
    own.append(replace(own[0], id="again", passage=own[0].passage.replace(" ", "  ")))
    twin = rank1_record(relevant=True)
    twin["input"] = f"Query: {own[4].query}\nPassage: {own[4].passage}\n"
    records = [rank1_record(n, n % 2 == 0) for n in range(8)]
    found, report = mixed(tmp_path, Blend(8, 16, None), own, [*records, twin, records[0]])
    assert len({one.id for one in found}) == 24
    assert report["parts"]["synthetic"]["duplicates"] == 1
    assert (
        report["parts"]["rank1"] | {"read": 10, "duplicates": 1, "duplicates_across": 1}
        == report["parts"]["rank1"]
    )


def test_rows_with_two_labels_are_dropped_on_both_sides(tmp_path: Path) -> None:
    own = rows(4)
    twin = rank1_record(relevant=False)
    twin["input"] = f"Query: {own[0].query}\nPassage: {own[0].passage}\n"
    found, report = mixed(tmp_path, Blend(1, 15, None), own, [twin, rank1_record(1)])
    assert own[0].id not in {one.id for one in found}
    assert report["parts"]["synthetic"]["contradictory"] == 1


def test_what_cannot_be_used_is_counted_and_written_down(tmp_path: Path) -> None:
    own = [*rows(4), row(9, passage="It ends </think> true here.")]
    records = [rank1_record(0), rank1_record(1, output="nothing")]
    _, report = mixed(tmp_path, Blend(1, 16, None), own, records)
    assert report["parts"]["synthetic"]["unusable"] == 1
    assert report["parts"]["rank1"]["unreadable"] == 1
    rejected = [json.loads(line) for line in (tmp_path / "mix/rejected.jsonl").read_text().splitlines()]
    assert [(one["stage"], one["item"]) for one in rejected] == [
        ("mix", "s9/expert/0"), ("rank1", "rank1.jsonl, line 2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("blend", "said"),
    [
        (Blend(41, 0, None), "rows that are"),
        (Blend(40, 8, 0.9), "36 Rank1-style rows that are relevant, of which there are 20"),
        (Blend(0, 100, 0.5), "50 synthetic rows that are irrelevant, of which there are 48"),
        (Blend(0, 96, 0.5, "guidelines"), r"irrelevant \(daily-life, medium\), of which there are 8"),
    ],
)
def test_too_few_rows_are_named(tmp_path: Path, blend: Blend, said: str) -> None:
    with pytest.raises(InputError, match=said):
        mixed(tmp_path, blend)
    assert not (tmp_path / "mix/rows.jsonl").exists()


def test_every_missing_stratum_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        mixed(tmp_path, Blend(100, 100))
    assert str(error.value).count("of which there are") == 4


@pytest.mark.parametrize(
    "bad",
    [{"rank1": -1}, {"relevant": 1.5}, {"strata": "even"}, {"rank1": 0, "synthetic": 0}, {"rank1": True}],
)
def test_a_senseless_blend_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Blend(**bad)


def test_rows_that_are_not_for_commercial_use_need_the_flag(tmp_path: Path) -> None:
    runs, other = rows_file(tmp_path / "run.jsonl", rows(4)), rank1_file(tmp_path / "r.jsonl", 8)
    with pytest.raises(InputError, match=r"commercial use: MS MARCO; not known .*jhu-clsp/rank1") as error:
        mix([str(other)], [str(runs)], tmp_path / "mix", Blend(4, 4))
    assert "--allow-non-commercial" in str(error.value)
    assert not (tmp_path / "mix/rows.jsonl").exists()
    # Only what is in the mix binds it.
    assert mix([str(other)], [str(runs)], tmp_path / "mix", Blend(0, 4))["non_commercial"] == []
    report = mix([str(other)], [str(runs)], tmp_path / "mix", Blend(4, 4), allow_non_commercial=True)
    assert report["non_commercial"] == ["MS MARCO"]
    assert {entry["name"]: entry["rows"] for entry in report["licences"]}["MS MARCO"] == 4


def test_an_unknown_licence_counts_as_forbidden_until_it_is_declared(tmp_path: Path) -> None:
    unknown, hub = Source("my notes"), Source("PersonaHub", "CC-BY-NC-SA-4.0", False)
    runs = rows_file(tmp_path / "run.jsonl", [replace(one, sources=(unknown,)) for one in rows(2)])
    with pytest.raises(InputError, match="which counts as not: my notes"):
        mix([], [str(runs)], tmp_path / "mix", Blend(0, 4))
    report = mix([], [str(runs)], tmp_path / "mix", Blend(0, 4), commercial=["my notes"])
    assert report["declared_commercial"] == ["my notes"]
    assert report["licences"][0]["commercial"] is True
    # A source that says no is not argued with.
    runs = rows_file(tmp_path / "run.jsonl", [replace(one, sources=(hub,)) for one in rows(2)])
    with pytest.raises(InputError, match="not for commercial use: PersonaHub"):
        mix([], [str(runs)], tmp_path / "mix", Blend(0, 4), commercial=["PersonaHub"])


def test_two_runs_over_the_same_seeds_keep_their_rows_apart(tmp_path: Path) -> None:
    one = rows_file(tmp_path / "one.jsonl", rows(2))
    two = rows_file(tmp_path / "two.jsonl", [replace(r, query=f"Again: {r.query}") for r in rows(2)])
    mix([], [str(one), str(two)], tmp_path / "mix", Blend(0, 16))
    found = list(read_rows(tmp_path / "mix/rows.jsonl"))
    assert len({r.id for r in found}) == 16
    assert {r.query_id: r.query for r in found if r.query_id == "s0/expert~2"} == {
        "s0/expert~2": "Again: " + rows(1)[0].query
    }
    # The same run twice is the same rows.
    report = mix([], [str(one), str(one)], tmp_path / "mix", Blend(0, 8))
    assert report["parts"]["synthetic"]["duplicates"] == 8


def test_one_id_for_two_rows_is_refused(tmp_path: Path) -> None:
    runs = rows_file(tmp_path / "run.jsonl", [row(0), row(1, id=row(0).id)])
    with pytest.raises(InputError, match="have the id"):
        mix([], [str(runs)], tmp_path / "mix", Blend(0, 1))


def test_the_reports_of_runs_travel_with_the_mix(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.jsonl", rows(2))
    (tmp_path / "report.json").write_text('{"cost": 1.5}')
    assert mix([], [str(tmp_path)], tmp_path / "mix", Blend(0, 4))["runs"] == [{"cost": 1.5}]


def test_a_run_is_not_overwritten_by_a_mix_of_it(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.jsonl", rows(2))
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError, match="is a run's folder"):
        mix([], [str(tmp_path)], tmp_path, Blend(0, 4))


@pytest.mark.parametrize("name", ["rows.jsonl", "rejected.jsonl", "mix.json"])
def test_what_is_not_a_mix_is_not_overwritten_and_a_mix_is(tmp_path: Path, name: str) -> None:
    runs, out = str(rows_file(tmp_path / "run.jsonl", rows(2))), tmp_path / "mix"
    mix([], [runs], out, Blend(0, 4))
    mix([], [runs], out, Blend(0, 2))
    assert len((out / "rows.jsonl").read_text().splitlines()) == 2
    (out / "mix.json").unlink()
    others = '{"query": "mine"}\n'
    (out / name).write_text(others)
    with pytest.raises(InputError, match=r"mix/.* would replace a file that was not written by this command"):
        mix([], [runs], out, Blend(0, 4))
    assert (out / name).read_text() == others


def test_texts_come_through_byte_for_byte(tmp_path: Path) -> None:
    hard = row(0, query='"a"\tb\r\nc\u2028d\x85e', passage="\\ud800 \U0001f525 <|\n", trace='x\ty\n\n"z"')
    runs = rows_file(tmp_path / "run.jsonl", [hard])
    mix([], [str(runs)], tmp_path / "mix", Blend(0, 1, None))
    assert list(read_rows(tmp_path / "mix/rows.jsonl")) == [hard]
