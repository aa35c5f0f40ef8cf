"""The card: what it says is what is in the set, and no text of the set is its markup."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic_rows import FREE, row, rows

from limrank_plugins.errors import MissingExtra
from limrank_synth.dataset_card import acceptance
from limrank_synth.exporting import export
from limrank_synth.records import Source
from limrank_synth.row_statistics import quantile
from limrank_synth.savings import savings

RUN: dict[str, Any] = {
    "seeds": 30,
    "cost": 12.5,
    "stages": {"rewriting": {"in": 60, "out": 58, "accepted": 0.967}, "agreement": {"in": 200, "out": 150}},
    "calls": {"writer": {"calls": 400, "cost": 10.0}, "judge": {"calls": 200, "cost": 2.5}},
    "settings": {"seed": 7, "roles": {"writer": {"model": "gpt-4o", "temperature": 0.8, "top_p": 0.95}}},
}


def card(folder: Path, made: list[Any], **facts: Any) -> str:
    export(made, "trl", folder / "out", **facts)
    return (folder / "out/README.md").read_text("utf-8")


def front(text: str) -> dict[str, Any]:
    """The front matter, read as the YAML it is."""
    import yaml

    head = text.split("---\n")[1]
    return dict(yaml.safe_load(head))


def test_the_front_matter_is_yaml_that_the_hub_knows(tmp_path: Path) -> None:
    text = card(tmp_path, rows(3), title='My "set": 1')
    meta = front(text)
    assert meta["pretty_name"] == 'My "set": 1'
    assert meta["license"] == "other"
    assert meta["size_categories"] == ["n<1K"]
    (config,) = meta["configs"]
    assert config["data_files"] == [{"split": "train", "path": "train.jsonl"}]
    assert '# My "set": 1\n' in text


def test_it_tells_numbers_licences_making_and_cost(tmp_path: Path) -> None:
    hub = Source("PersonaHub", "CC-BY-NC-SA-4.0", False)
    model = Source("model gpt-4o", "terms of the model's provider")
    made = [replace(one, sources=(*FREE, hub, model)) for one in rows(30)]
    text = card(tmp_path, made, runs=[RUN])
    for said in (
        "120 rows about 30 queries, 50.0% of them relevant",
        "| PersonaHub | CC-BY-NC-SA-4.0 | **no** | 120 |",
        "| limrank personas | MIT | yes | 120 |",
        "| model gpt-4o | terms of the model's provider | not known | 120 |",
        "**Not for commercial use**: this set holds texts of PersonaHub.",
        "Of model gpt-4o it is not known",
        "30 passages state something untrue on purpose",
        "Synthesised from 30 seeds, run seed 7",
        "| writer | gpt-4o | 0.8 | 0.95 | 400 | $10.00 |",
        "Calls: $12.50",
        "386,336 · 2 · 4e-05 - 120 · 5 · 4e-05",
        "about 30.9 H100-hours",
        "</think> true",
        "Intended use",
    ):
        assert said in text, said
    pictures = {file.name for file in (tmp_path / "out/plots").iterdir()}
    assert pictures == {
        "labels.png",
        "domains.png",
        "lengths.png",
        "difficulty.png",
        "acceptance.png",
        "cost.png",
    }
    assert all(f"plots/{name}" in text for name in pictures)


def test_a_set_for_commercial_use_does_not_say_otherwise(tmp_path: Path) -> None:
    text = card(tmp_path, rows(2))
    assert "Not for commercial use" not in text
    assert "not known" not in text.replace("not known (no report of a run was given)", "")
    assert "acceptance.png" not in text


def test_a_mix_tells_its_parts(tmp_path: Path) -> None:
    mix = {
        "blend": {"rank1": 14_000, "synthetic": 6_000, "relevant": 0.5, "strata": "pool", "seed": 3},
        "parts": {"rank1": {"read": 99, "taken": 9, "duplicates": 2, "duplicates_across": 3}},
        "declared_commercial": ["my notes"],
    }
    text = card(tmp_path, [*rows(2), row(3, kind="", domain="", difficulty="", intent="direct")], mix=mix)
    assert "Mixed from 14,000 Rank1-style and 6,000 synthetic rows, seed 3" in text
    assert "| rank1 | 99 | 0 | 0 | 5 | 0 | 9 |" in text
    assert "declared these to be for commercial use: my notes" in text


def test_texts_of_the_set_are_no_markup(tmp_path: Path) -> None:
    evil = Source("a | b\n# heading <script> [x](y) $m$", "`MIT`", True)
    made = [replace(one, sources=(evil,), domain="$\\frac{1}$ | <b> 漢字 ") for one in rows(2)]
    text = card(tmp_path, made)
    assert "\n# heading" not in text
    assert "| a \\| b # heading \\<script\\> \\[x\\](y) $m$ | \\`MIT\\` | yes | 8 |" in text


def test_plots_are_pictures_of_the_same_bytes_every_time(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        card(tmp_path / name, rows(20), runs=[RUN])
    for file in (tmp_path / "a/out/plots").iterdir():
        assert file.read_bytes() == (tmp_path / "b/out/plots" / file.name).read_bytes()
        with Image.open(file) as picture:
            assert picture.width > 400
            assert len(picture.convert("L").getcolors(256) or []) > 2


def test_acceptance_adds_up_over_runs() -> None:
    assert acceptance([RUN, RUN, {}]) == [("rewriting", 120, 116), ("agreement", 400, 300)]


def test_savings_are_the_formula() -> None:
    papers = savings(20_000, 100.0)
    assert papers.own == pytest.approx(4.0)
    assert papers.rank1 == pytest.approx(386_336 * 2 * 4 / 100_000)
    assert papers.saved == pytest.approx(papers.rank1 - 4)
    assert papers.break_even == pytest.approx(100 / papers.saved)
    assert savings(20_000, None).break_even is None
    assert savings(1_000_000, 5.0).break_even is None


def test_quantiles() -> None:
    lengths = Counter({1: 5, 10: 4, 100: 1})
    assert [quantile(lengths, share) for share in (0.05, 0.5, 0.51, 0.9, 0.91, 1.0)] == [
        1,
        1,
        10,
        10,
        100,
        100,
    ]
    assert quantile({}, 0.5) == 0


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"limrank\[synth\]"):
        export(rows(1), "trl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export_json_is_for_programs(tmp_path: Path) -> None:
    summary = export([*rows(2), row(9, trace="")], "trl", tmp_path / "out")
    assert json.loads((tmp_path / "out/export.json").read_text()) == summary
    assert (summary["rows"], summary["relevant"]) == (8, 4)
    assert summary["left_out"] == {"row: its trace is empty": 1}
