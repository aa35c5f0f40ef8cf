"""MMDocIR: pages and layouts of the question's own document."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmark_layouts import png, put_lines, put_table
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.loaders.boxes import area, overlap
from limrank_evals.tasks import mmdocir
from limrank_evals.tasks.mmdocir import layout_recall, load_mmdocir
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.images import Image

LAW, NEWS = "Laws", "News"


def label(page: int, *box: float) -> dict[str, Any]:
    return {"page": page, "page_size": [100, 100], "bbox": list(box)}


def annotations() -> list[dict[str, Any]]:
    # Out of the tables' order, as published.
    return [
        {
            "doc_name": "b.pdf",
            "domain": NEWS,
            "page_indices": [3, 4],
            "layout_indices": [2, 4],
            "questions": [
                {"Q": "who?", "A": "x", "page_id": [1], "layout_mapping": [label(1, 0, 0, 10, 10)]}
            ],
        },
        {
            "doc_name": "a.pdf",
            "domain": LAW,
            "page_indices": [0, 2],
            "layout_indices": [0, 1],
            "questions": [
                {
                    "Q": "what?",
                    "page_id": [0, 2],
                    "layout_mapping": [label(0, 0, 0, 10, 10), label(2, 0, 0, 5, 4)],
                },
                {"Q": "where?", "page_id": [1], "layout_mapping": [label(0, 5, 0, 15, 10)]},
            ],
        },
    ]


def pages() -> list[dict[str, Any]]:
    names = ["a.pdf"] * 3 + ["b.pdf"] * 2
    return [
        {
            "doc_name": name,
            "domain": "",
            "passage_id": str(i),
            "image_path": "",
            "image_binary": png(i),
            "ocr_text": f"ocr {i}",
            "vlm_text": f"vlm {i}",
        }
        for i, name in enumerate(names)
    ]


def layouts() -> list[dict[str, Any]]:
    places = [
        ("a.pdf", "text", 0, [0, 0, 10, 10]),
        ("a.pdf", "table", 2, [0, 0, 10, 10]),
        ("b.pdf", "figure", 0, [0, 0, 10, 10]),
        ("b.pdf", "figure", 1, [0, 0, 10, 5]),
        ("b.pdf", "equation", 1, [20, 20, 30, 30]),
    ]
    return [
        {
            "doc_name": name,
            "type": kind,
            "layout_id": i,
            "page_id": page,
            "image_binary": png(i),
            "text": f"own {i}" if kind in ("text", "equation") else None,
            "ocr_text": f"ocr {i}",
            "vlm_text": f"vlm {i}",
            "bbox": box,
        }
        for i, (name, kind, page, box) in enumerate(places)
    ]


def put(folder: Path) -> Path:
    put_lines(folder / "MMDocIR_annotations.jsonl", annotations())
    put_table(folder / "MMDocIR_pages.parquet", pages())
    put_table(folder / "MMDocIR_layouts.parquet", layouts())
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("QUESTIONS", 3), ("PAGES", 5), ("LAYOUTS", 5)):
        monkeypatch.setattr(mmdocir, name, count)


@pytest.mark.usefixtures("counted")
def test_pages(tmp_path: Path):
    found = load_mmdocir("page", put(tmp_path))
    benchmark = found
    assert benchmark.queries == (Query("who?", "q1"), Query("what?", "q2"), Query("where?", "q3"))
    assert benchmark.documents[1] == Document("ocr 1", "a.pdf#page1", images=(Image(png(1)),))
    assert [document.id for document in benchmark.documents[3:]] == ["b.pdf#page0", "b.pdf#page1"]
    assert benchmark.qrels == {
        "q1": {"b.pdf#page1": 1},
        "q2": {"a.pdf#page0": 1, "a.pdf#page2": 1},
        "q3": {"a.pdf#page1": 1},
    }
    assert found.candidates["q1"] == ["b.pdf#page0", "b.pdf#page1"]
    assert found.candidates["q3"] == ["a.pdf#page0", "a.pdf#page1", "a.pdf#page2"]
    assert not found.are_ranked
    assert found.areas == {}
    assert benchmark.groups == {NEWS: {"q1"}, LAW: {"q2", "q3"}}
    assert benchmark.checked() == ()
    assert "NC" in benchmark.licence


@pytest.mark.usefixtures("counted")
def test_texts_without_pictures(tmp_path: Path):
    documents = load_mmdocir("page", put(tmp_path), text="vlm_text", images=False).documents
    assert documents[0] == Document("vlm 0", "a.pdf#page0")
    texts = [d.text for d in load_mmdocir("layout", tmp_path, text="vlm_text").documents]
    assert texts == ["own 0", "vlm 1", "vlm 2", "vlm 3", "own 4"]


@pytest.mark.usefixtures("counted")
def test_layouts(tmp_path: Path):
    found = load_mmdocir("layout", put(tmp_path))
    # q1: half of the labelled box. q2: all of one (100 of 120) and all of the other within a larger layout.
    # q3: half of the box and of the layout.
    assert found.areas == {
        "q1": {"b.pdf#layout1": 0.5},
        "q2": {"a.pdf#layout0": 100 / 120, "a.pdf#layout1": 20 / 120},
        "q3": {"a.pdf#layout0": 0.5},
    }
    assert found.qrels == {
        "q1": {"b.pdf#layout1": 1},
        "q2": {"a.pdf#layout0": 1, "a.pdf#layout1": 1},
        "q3": {"a.pdf#layout0": 1},
    }
    assert layout_recall(["a.pdf#layout1", "a.pdf#layout0"], found.areas["q2"], 1) == pytest.approx(1 / 6)
    assert layout_recall(["a.pdf#layout1", "a.pdf#layout0"], found.areas["q2"], 5) == pytest.approx(1)


def test_a_layout_that_only_touches_is_not_relevant(tmp_path: Path):
    rows = annotations()
    rows[0]["questions"][0]["layout_mapping"] = [
        label(1, 0, 0, 4, 4),
        label(0, 0, 0, 2, 2),
        label(1, 8, 4, 40, 40),
    ]
    put_lines(put(tmp_path) / "MMDocIR_annotations.jsonl", rows)
    found = load_mmdocir("layout", tmp_path, strict=False)
    # Of layout 2 all is labelled; of layout 1 18 of 50, but it covers all of one label, as layout 0 does.
    assert found.qrels["q1"] == {"b.pdf#layout0": 1, "b.pdf#layout1": 1, "b.pdf#layout2": 1}
    rows[0]["questions"][0]["layout_mapping"] = [label(1, 8, 4, 40, 40)]
    put_lines(tmp_path / "MMDocIR_annotations.jsonl", rows)
    found = load_mmdocir("layout", tmp_path, strict=False)
    assert found.qrels["q1"] == {"b.pdf#layout2": 1}
    assert found.areas["q1"] == {"b.pdf#layout1": 2 / 1152, "b.pdf#layout2": 100 / 1152}


boxes = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(boxes, boxes)
def test_overlap_counts_common_cells(one: tuple[int, int, int, int], other: tuple[int, int, int, int]):
    def cells(box: tuple[int, int, int, int]) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    assert overlap(one, other) == overlap(other, one) == len(cells(one) & cells(other))
    assert area(one) == len(cells(one))


def test_one_domain(tmp_path: Path):
    found = load_mmdocir("page", put(tmp_path), domain=LAW)
    assert [query.id for query in found.queries] == ["q2", "q3"]  # numbered over the whole file
    assert [document.id for document in found.documents] == [f"a.pdf#page{i}" for i in range(3)]
    assert found.split == "page: Laws"
    news = load_mmdocir("layout", tmp_path, domain=NEWS)
    assert [document.id for document in news.documents] == [f"b.pdf#layout{i}" for i in range(3)]


def test_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert (mmdocir.QUESTIONS, mmdocir.PAGES, mmdocir.LAYOUTS) == (1658, 20395, 170338)
    with pytest.raises(InputError, match="MMDocIR, questions: 3, but 1,658 were published"):
        load_mmdocir("page", put(tmp_path))
    monkeypatch.setattr(mmdocir, "QUESTIONS", 3)
    with pytest.raises(InputError, match="MMDocIR layouts: 5, but 170,338 were published"):
        load_mmdocir("layout", tmp_path)
    (told,) = load_mmdocir("page", tmp_path, strict=False).checked()
    assert "5, but 20,395" in told


def test_tables_of_another_version(tmp_path: Path):
    put(tmp_path)
    put_table(tmp_path / "MMDocIR_pages.parquet", pages()[1:])
    with pytest.raises(InputError, match=r"row 2: it is of 'b\.pdf', but by the annotations of 'a\.pdf'"):
        load_mmdocir("page", tmp_path, strict=False)
    put_table(tmp_path / "MMDocIR_pages.parquet", pages()[:4])
    with pytest.raises(InputError, match="ends before row 4, which the annotations name"):
        load_mmdocir("page", tmp_path, strict=False)
    put_table(tmp_path / "MMDocIR_pages.parquet", [{"doc_name": "a.pdf", "ocr_text": "x"}])
    with pytest.raises(InputError, match="has no column 'image_binary'; it has doc_name, ocr_text"):
        load_mmdocir("page", tmp_path, strict=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"page_indices": [3]}, r"line 1: 'page_indices' must be a first and a last row, but is \[3\]"),
        ({"page_indices": [4, 3]}, "must be a first and a last row"),
        ({"questions": ["who?"]}, "line 1: expected a question, but got 'who"),
        (
            {"questions": [{"Q": "who?", "page_id": [2]}]},
            r"question q1: b\.pdf has the pages 0 to 1, but not 2",
        ),
        ({"questions": [{"Q": 1, "page_id": [1]}]}, "question q1: 'Q' cannot be 1"),
        ({"doc_name": None}, "line 1: 'doc_name' cannot be None"),
    ],
)
def test_wrong_annotations(tmp_path: Path, change: dict[str, Any], told: str):
    rows = annotations()
    rows[0].update(change)
    put_lines(put(tmp_path) / "MMDocIR_annotations.jsonl", rows)
    with pytest.raises(InputError, match=told):
        load_mmdocir("page", tmp_path, strict=False)


def test_wrong_boxes_and_pictures(tmp_path: Path):
    rows = layouts()
    rows[1]["bbox"] = [5, 0, 0]
    put_table(put(tmp_path) / "MMDocIR_layouts.parquet", rows)
    with pytest.raises(InputError, match=r"layouts\.parquet, row 1: a box is four numbers, .* this is \[5"):
        load_mmdocir("layout", tmp_path, strict=False)
    broken = pages()
    broken[2]["image_binary"] = b"BM"
    put_table(tmp_path / "MMDocIR_pages.parquet", broken)
    with pytest.raises(InputError, match=r"pages\.parquet, row 2: an image must be PNG, JPEG, GIF or WebP"):
        load_mmdocir("page", tmp_path, strict=False)


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="level must be 'page' or 'layout', but is 'word'"):
        load_mmdocir("word", tmp_path)
    with pytest.raises(InputError, match="text must be 'ocr_text' or 'vlm_text'"):
        load_mmdocir("page", tmp_path, text="text")
    with pytest.raises(InputError, match="no domain 'law'; it has Research report"):
        load_mmdocir("page", tmp_path, domain="law")
    with pytest.raises(InputError, match=r"holds none of MMDocIR_annotations\.jsonl"):
        load_mmdocir("page", tmp_path)
    with pytest.raises(
        BackendError, match=r"MMDocIR_annotations\.jsonl of MMDocIR/.* cannot be read from the hub"
    ):
        load_mmdocir("page")


def test_no_torch_is_needed():
    code = "import sys, limrank_evals.tasks.mmdocir; sys.exit(bool({'torch', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
