"""Results in and out of files, and tables that mark every number of another setting."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from limrank_evals.identity import SETTINGS, Identity, Result
from limrank_evals.published import published
from limrank_evals.tables import build_table
from limrank_plugins import __version__
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json
from limrank_plugins.outputs import write_json

HERE = Identity("BRIGHT", "biology", first_stage="bm25s", queries="original", depth=100, qrels="original")
OURS = Result("limrank", HERE, {"nDCG@10": 0.25, "R@5": 1 / 3}, {"nDCG@10": (0.2, 0.3)}, {"judged": 103})


def test_there_and_back(tmp_path: Path):
    path = tmp_path / "result.json"
    write_json(path, OURS.as_json())
    assert Result.from_json(read_json(path)) == OURS
    assert OURS.identity.version == __version__
    assert not OURS.published


def test_the_setting_is_everything_that_makes_numbers_comparable():
    wanted = {"first_stage", "queries", "depth", "prompts", "qrels", "ties", "averaging"}
    assert set(HERE.setting()) == set(SETTINGS) == wanted
    other = replace(HERE, depth=10, qrels="fixed", first_stage="", recipe="rank1", version="0")
    assert other.differences(HERE.setting()) == ["first stage unknown", "depth 10", "judgements fixed"]
    assert replace(HERE, recipe="rank1", model="m", backend="b").differences(HERE.setting()) == []


BAD = {
    "schema": {"schema": "limrank result 0"},
    "there is no field 'identity.surprise'": {"identity": {"benchmark": "x", "surprise": 1}},
    "name of its benchmark": {"identity": {"benchmark": ""}},
    "depth of a result's identity must be a whole number >= 1": {"identity": {"benchmark": "x", "depth": 0}},
    "identity.depth: Input should be a valid integer, but got True": {
        "identity": {"benchmark": "x", "depth": True}
    },
    "identity.split: Input should be a valid string, but got 3": {"identity": {"benchmark": "x", "split": 3}},
    "scores.nDCG@10: Input should be a valid number, but got 'high'": {"scores": {"nDCG@10": "high"}},
    "intervals of what was not scored": {"intervals": {"P@1": [0, 1]}},
    "name of its system": {"system": ""},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_results_are_named(tmp_path: Path, message: str):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**OURS.as_json(), **BAD[message]}))
    with pytest.raises(InputError, match=message) as caught:
        Result.from_json(read_json(path), str(path))
    assert str(path) in str(caught.value)


def test_what_is_no_json_or_not_whole(tmp_path: Path):
    path = tmp_path / "result.json"
    for text in ("", "{", "[]", '{"schema": "limrank result 1"}'):
        path.write_text(text)
        with pytest.raises(InputError, match=re.escape(str(path))):
            Result.from_json(read_json(path), str(path))


def test_numbers_of_another_setting_are_never_unmarked():
    shallow = Result("shallow", replace(HERE, depth=10), {"nDCG@10": 0.5})
    unknown = Result(
        "theirs", replace(HERE, depth=None, version=""), {"nDCG@10": 0.28}, source="A paper, t. 1"
    )
    same = Result("same", replace(HERE, recipe="other"), {"nDCG@10": 0.2})
    # A published number in front does not make its setting the column's.
    table = build_table([unknown, OURS, shallow, same], ["nDCG@10"])
    cells = {system: row[0] for system, row in table.rows}
    assert cells["limrank"] is not None
    assert cells["limrank"].text == "25.00 (20.00 to 30.00)"
    assert cells["limrank"].notes == ()
    marked = {system: [table.notes[n - 1] for n in cell.notes] for system, cell in cells.items() if cell}
    assert marked == {
        "theirs": ["depth unknown; published: A paper, t. 1"],
        "limrank": [],
        "shallow": ["depth 10"],
        "same": [],
    }
    for field in SETTINGS:
        changed = replace(HERE, **{field: 7 if field == "depth" else "something else"})
        (mark,) = build_table([OURS, Result("x", changed, {"nDCG@10": 0.1})], ["nDCG@10"]).notes
        assert mark.startswith(SETTINGS[field])


def test_markdown_and_latex():
    odd = Result("a|b_50%", replace(HERE, split="earth_science"), {"nDCG@10": 0.5}, source="X & Y")
    table = build_table([OURS, odd], ["nDCG@10"])
    assert table.markdown().splitlines() == [
        "| system | BRIGHT biology nDCG@10 | BRIGHT earth_science nDCG@10 |",
        "| --- | ---: | ---: |",
        "| limrank | 25.00 (20.00 to 30.00) | – |",
        "| a\\|b_50% | – | 50.0 [1] |",
        "",
        "Measures are times 100.",
        "",
        "BRIGHT biology nDCG@10: first stage bm25s, queries original, depth 100, judgements original.",
        "",
        "BRIGHT earth_science nDCG@10: first stage bm25s, queries original, depth 100, judgements original.",
        "",
        "[1] published: X & Y",
    ]
    latex = table.latex()
    assert "a|b\\_50\\% & -- & 50.0\\textsuperscript{1} \\\\" in latex
    assert "\\par\\textsuperscript{1} published: X \\& Y" in latex
    assert latex.count("{") == latex.count("}")


def test_tables_that_cannot_be():
    with pytest.raises(InputError, match="no results"):
        build_table([OURS], ["P@1"])
    with pytest.raises(InputError, match="'limrank' has two numbers for BRIGHT biology nDCG@10"):
        build_table([OURS, replace(OURS, identity=replace(HERE, depth=10))])


def test_published_numbers_have_sources_and_settings():
    results = published()
    assert {r.identity.benchmark for r in results} >= {"BRIGHT", "FollowIR", "LitSearch", "GPQA-diamond RAG"}
    assert all(r.published and r.identity.version == "" for r in results)
    assert all(-1 <= score <= 1 for r in results for score in r.scores.values())
    by = {(r.system, r.identity.split): r.scores["nDCG@10"] for r in published("BRIGHT")}
    assert by["LimRank-7B", "average"] == pytest.approx(0.28)
    assert by["ReasonRank-7B", "average"] == pytest.approx(0.3574)
    for system in (
        "BM25",
        "BM25 + GPT-4o CoT",
        "MonoT5-3B",
        "RankLLaMA-7B",
        "Rank1-7B",
        "Rank1-14B",
        "Rank1-32B",
    ):
        tasks = [score for (name, split), score in by.items() if name == system and split != "average"]
        assert len(tasks) == 12
        # Printed means are of unrounded numbers.
        assert sum(tasks) / 12 == pytest.approx(by[system, "average"], abs=0.0011)
    followed = {
        (r.system, r.identity.split): r.scores["p-MRR"] for r in published("FollowIR") if "p-MRR" in r.scores
    }
    tasks = [followed["FollowIR-7B", split] for split in ("Robust04", "News21", "Core17")]
    assert tasks == pytest.approx([0.137, 0.063, 0.165])
    assert sum(tasks) / 3 == pytest.approx(followed["FollowIR-7B", "average"], abs=0.0006)
    names = [(r.system, r.identity.benchmark, r.identity.split, *r.scores) for r in results]
    assert len(set(names)) == len(names), "every number has one place"
    assert all(
        notes for _, row in build_table(results).rows for cell in row if cell for notes in [cell.notes]
    )
