"""R2MED, on folders of the hub's layout and of the authors' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_layouts import put_lines, put_table

from limrank_evals.tasks.r2med import R2MED_TASKS, load_r2med
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError

CORPUS = [{"id": "d1", "text": "a gene"}, {"id": "d2", "text": ""}, {"id": "d3", "text": "a protein"}]
ASKED = [{"id": "1", "text": "which gene?"}, {"id": "2", "text": "which protein?"}]
GRADES = [{"q_id": "1", "p_id": "d1", "score": 1}, {"q_id": "2", "p_id": "d3", "score": 1.0}]
PARTS = {"corpus": CORPUS, "query": ASKED, "qrels": GRADES}


def hub(folder: Path) -> Path:
    for part, rows in PARTS.items():
        put_table(folder / part / f"{part}-00000-of-00001.parquet", rows)
    return folder


def flat(folder: Path) -> Path:
    for part, rows in PARTS.items():
        put_lines(folder / f"{part}.jsonl", rows)
    return folder


@pytest.mark.parametrize("layout", [hub, flat])
def test_both_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout):
    monkeypatch.setitem(R2MED_TASKS, "Biology", (2, 3))
    found = load_r2med("Biology", layout(tmp_path / "Biology"))
    assert (found.name, found.split, found.licence) == ("R2MED", "Biology", "CC BY 4.0")
    assert found.queries == (Query("which gene?", "1"), Query("which protein?", "2"))
    assert found.documents == (Document("a gene", "d1"), Document("", "d2"), Document("a protein", "d3"))
    assert found.qrels == {"1": {"d1": 1}, "2": {"d3": 1}}
    assert found.checked() == ()
    assert load_r2med("Biology", tmp_path) == found  # the folder of the tasks' folders


def test_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert len(R2MED_TASKS) == 8
    assert sum(queries for queries, _ in R2MED_TASKS.values()) == 876
    folder = flat(tmp_path)
    with pytest.raises(InputError, match="R2MED Biology, queries: 2, but 103 were published"):
        load_r2med("Biology", folder)
    monkeypatch.setitem(R2MED_TASKS, "Biology", (2, 4))
    with pytest.raises(InputError, match="R2MED Biology, documents: 3, but 4 were published"):
        load_r2med("Biology", folder)
    (told,) = load_r2med("Biology", folder, strict=False).checked()
    assert "3, but 4" in told


@pytest.mark.parametrize(
    ("part", "row", "told"),
    [
        ("corpus", {"id": "d4"}, r"corpus\.jsonl, row 1: 'text' cannot be None; the fields are \['id'\]"),
        ("query", {"id": None, "text": "?"}, r"query\.jsonl, row 1: 'id' cannot be None"),
        ("query", {"id": "3", "text": " "}, "the query is empty"),
        (
            "qrels",
            {"q_id": "1", "p_id": "d1", "score": "high"},
            r"qrels\.jsonl, row 1: the grade must be a whole",
        ),
        (
            "qrels",
            {"q_id": "1", "p_id": "d1", "score": 0.5},
            r"qrels\.jsonl, row 1: the grade must be a whole",
        ),
    ],
)
def test_wrong_rows(tmp_path: Path, part: str, row: dict[str, object], told: str):
    put_lines(flat(tmp_path) / f"{part}.jsonl", [row])
    with pytest.raises(InputError, match=told):
        load_r2med("Biology", tmp_path, strict=False)


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="no task 'biology'; it has Biology, Bioinformatics"):
        load_r2med("biology", tmp_path)
    (flat(tmp_path) / "qrels.jsonl").unlink()
    with pytest.raises(InputError, match=r"no split 'qrels' of 'qrels': expected qrels/qrels\.jsonl"):
        load_r2med("Biology", tmp_path, strict=False)
    with pytest.raises(BackendError, match=r"R2MED/Biology \(corpus, corpus\) cannot be read from the hub"):
        load_r2med("Biology")
