"""What a model card says of licences: what rows, reports and the base say, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limrank_plugins.errors import InputError
from limrank_training.model_export import model_card
from limrank_training.model_licences import base_licence, data_licences
from limrank_training.plans import Plan

ROW = {"query": "q", "passage": "p", "trace": "t", "relevant": True}
WIKI, MARCO = {"name": "wiki", "licence": "CC-BY-SA-4.0"}, {"name": "MS MARCO", "licence": "unknown"}


def written(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_say_what_went_into_them(tmp_path: Path):
    rows = [ROW | {"sources": [WIKI, MARCO]}, ROW | {"sources": [WIKI, WIKI]}, ROW]
    assert data_licences(written(tmp_path, *rows)) == {
        "wiki": "CC-BY-SA-4.0 (2 rows)",
        "MS MARCO": "unknown (1 row)",
    }
    assert data_licences(written(tmp_path, ROW | {"licence": "MIT"})) == {"rows": "MIT (1 row)"}
    assert data_licences(written(tmp_path, ROW)) == {}


def test_a_report_beside_rows_that_say_nothing(tmp_path: Path):
    listed = [WIKI | {"commercial": True, "rows": 7}, WIKI | {"licence": "CC0-1.0", "rows": 2}]
    (tmp_path / "export.json").write_text(json.dumps({"licences": listed}))
    assert data_licences(written(tmp_path, ROW)) == {"wiki": "CC-BY-SA-4.0 (7 rows); CC0-1.0 (2 rows)"}
    (tmp_path / "export.json").write_text('{"licences": [{"name": "wiki"}]}')
    with pytest.raises(InputError, match=r"export\.json"):
        data_licences(written(tmp_path, ROW))


@pytest.mark.parametrize("sources", ["wiki", ["wiki"], [{"licence": "MIT"}]])
def test_sources_that_are_none_are_named_with_their_line(tmp_path: Path, sources: object):
    with pytest.raises(InputError, match="line 2: 'sources'"):
        data_licences(written(tmp_path, ROW, ROW | {"sources": sources}))


def test_the_base_says_its_own(tmp_path: Path):
    assert base_licence("Qwen/Qwen2.5-7B") == "see https://huggingface.co/Qwen/Qwen2.5-7B"
    assert base_licence(str(tmp_path)) == "not stated in its folder"
    (tmp_path / "README.md").write_text("---\ntags: [a]\nlicense: apache-2.0\n---\nlicense: none of it\n")
    assert base_licence(str(tmp_path)) == "apache-2.0"
    (tmp_path / "README.md").write_text("license: none of it\n")
    assert base_licence(str(tmp_path)) == "not stated in its folder"


def test_the_card_lists_them():
    card = model_card(Plan("p"), {"Data": {"rows": 3, "licences": {"wiki": "CC0-1.0 (3 rows)"}}}, True)
    section = card.split("## Licences\n")[1].split("## ")[0]
    assert "- base: see https://huggingface.co/Qwen/Qwen2.5-7B\n- wiki: CC0-1.0 (3 rows)\n" in section
    assert "- rows: not stated\n" in model_card(Plan("p"), {}, True)
