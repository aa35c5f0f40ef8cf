"""WebQA: snippets and captioned pictures, in an order that tells nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_layouts import as_base64, png, put_text

from limrank_evals.tasks.webqa import WEBQA_SPLITS, load_webqa
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image


def picture(number: int, caption: str = "a frog") -> dict[str, Any]:
    return {"image_id": number, "title": f"File {number}", "caption": caption, "url": "", "imgUrl": ""}


def snippet(name: str) -> dict[str, Any]:
    return {"snippet_id": name, "title": "Frogs", "fact": f"fact {name}", "url": ""}


def entry(split: str, kind: str, right: list[Any], wrong: list[Any], **more: Any) -> dict[str, Any]:
    lists: dict[str, Any] = {"img_posFacts": [], "img_negFacts": [], "txt_posFacts": [], "txt_negFacts": []}
    for name, facts in (("posFacts", right), ("negFacts", wrong)):
        for fact in facts:
            lists[f"{'img' if 'image_id' in fact else 'txt'}_{name}"].append(fact)
    return {"Q": '"What color?"', "A": ["x"], "Qcate": kind, "split": split, **lists, **more}


def entries() -> dict[str, dict[str, Any]]:
    return {
        "g1": entry("val", "color", [picture(30000001)], [picture(30000000), snippet("g1_0")]),
        "g2": entry(
            "val", "text", [snippet("g2_0"), snippet("g2_1")], [snippet("g2_2"), picture(30000000)], Q="Who?"
        ),
        "g3": entry("train", "text", [snippet("g3_0")], []),
    }


def put(folder: Path, rows: dict[str, dict[str, Any]] | None = None) -> Path:
    put_text(folder / "WebQA_train_val.json", json.dumps(entries() if rows is None else rows))
    lines = [f"{30000000 + i}\t{as_base64(png(i))}\n" for i in range(2)]
    put_text(folder / "imgs.tsv", "".join(lines))
    put_text(folder / "imgs.lineidx", f"0\n{len(lines[0])}\n")
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WEBQA_SPLITS, "val", {"all": 2, "image": 1, "text": 1})


@pytest.mark.usefixtures("counted")
def test_all_facts(tmp_path: Path):
    found = load_webqa(put(tmp_path))
    benchmark = found
    assert benchmark.queries == (Query("What color?", "g1"), Query("Who?", "g2"))
    documents = {document.id: document for document in benchmark.documents}
    assert documents["30000001"] == Document("a frog", "30000001", "File 30000001", images=(Image(png(1)),))
    assert documents["30000000"].images == (Image(png(0)),)
    assert documents["g2_1"] == Document("fact g2_1", "g2_1", "Frogs")
    assert benchmark.qrels == {
        "g1": {"30000001": 1, "30000000": 0, "g1_0": 0},
        "g2": {"g2_0": 1, "g2_1": 1, "g2_2": 0, "30000000": 0},
    }
    assert {query: set(listed) for query, listed in found.candidates.items()} == {
        query: set(grades) for query, grades in benchmark.qrels.items()
    }
    assert not found.are_ranked
    assert benchmark.groups == {"image": {"g1"}, "text": {"g2"}}
    assert benchmark.checked() == ()


@pytest.mark.usefixtures("counted")
def test_one_kind_of_facts(tmp_path: Path):
    found = load_webqa(put(tmp_path), modality="image")
    assert [query.id for query in found.queries] == ["g1"]
    assert set(found.candidates["g1"]) == {"30000000", "30000001"}
    text = load_webqa(tmp_path, modality="text")
    assert set(text.candidates["g2"]) == {"g2_0", "g2_1", "g2_2"}
    assert text.split == "val text"
    (tmp_path / "imgs.tsv").unlink()
    assert load_webqa(tmp_path, modality="text") == text  # needs no pictures
    captions = load_webqa(tmp_path, modality="image", images=False)
    assert not any(document.images for document in captions.documents)
    assert "captions only" in captions.variant


def test_the_order_does_not_tell_what_is_relevant(tmp_path: Path):
    rows = {
        f"g{i}": entry(
            "val", "text", [snippet(f"g{i}_{j}") for j in range(2)], [snippet(f"g{i}_{j}") for j in (2, 3)]
        )
        for i in range(200)
    }
    candidates = load_webqa(put(tmp_path, rows), strict=False).candidates
    first = sum(listed[0].endswith(("_0", "_1")) for listed in candidates.values())
    assert 70 < first < 130
    swapped = {
        name: {**row, "txt_posFacts": row["txt_negFacts"], "txt_negFacts": row["txt_posFacts"]}
        for name, row in rows.items()
    }
    assert load_webqa(put(tmp_path, swapped), strict=False).candidates == candidates


def test_what_is_relevant_and_a_distractor_is_relevant(tmp_path: Path):
    rows = {"g1": entry("val", "text", [snippet("s")], [snippet("s"), snippet("t")])}
    assert load_webqa(put(tmp_path, rows), strict=False).qrels == {"g1": {"s": 1, "t": 0}}


def test_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert all(known["all"] == known["image"] + known["text"] for known in WEBQA_SPLITS.values())
    with pytest.raises(InputError, match="WebQA val, questions: 2, but 4,966 were published"):
        load_webqa(put(tmp_path))
    with pytest.raises(InputError, match="WebQA val, questions: 1, but 2,511 were published"):
        load_webqa(tmp_path, modality="image")
    (told,) = load_webqa(tmp_path, strict=False).checked()
    assert "2, but 4,966" in told


@pytest.mark.usefixtures("counted")
def test_a_picture_that_is_none(tmp_path: Path):
    put(tmp_path)
    line = f"30000000\t{as_base64(b'BM12')}\n"
    put_text(tmp_path / "imgs.tsv", line + f"30000001\t{as_base64(png(1))}\n")
    put_text(tmp_path / "imgs.lineidx", f"0\n{len(line)}\n")
    with pytest.raises(InputError, match="1 image is no PNG, JPEG, GIF or WebP, for example 30000000; say"):
        load_webqa(tmp_path)
    found = load_webqa(tmp_path, strict=False)
    assert [d.images for d in found.documents if d.id == "30000000"] == [()]
    (told,) = found.checked()
    assert told.endswith("30000000: their captions stand alone")


def test_pictures_that_do_not_belong_to_the_file(tmp_path: Path):
    put_text(put(tmp_path) / "imgs.lineidx", "0\n0\n")
    with pytest.raises(
        InputError, match=r"'g1', img_posFacts 1: imgs\.lineidx leads from image 30000001 to b'30000000'"
    ):
        load_webqa(tmp_path, strict=False)
    put_text(tmp_path / "imgs.lineidx", "0\n")
    with pytest.raises(InputError, match=r"img_posFacts 1: imgs\.tsv has no image 30000001"):
        load_webqa(tmp_path, strict=False)
    put_text(tmp_path / "imgs.lineidx", "zero\n")
    with pytest.raises(InputError, match=r"imgs\.lineidx: expected a line's place on every line"):
        load_webqa(tmp_path, strict=False)
    (tmp_path / "imgs.tsv").unlink()
    with pytest.raises(InputError, match=r"holds no imgs\.tsv, unpacked: .* images=False"):
        load_webqa(tmp_path, strict=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Q": None}, "question 'g1': 'Q' cannot be None"),
        ({"txt_negFacts": None}, "question 'g1': 'txt_negFacts' cannot be None"),
        ({"txt_posFacts": ["x"]}, "question 'g1', txt_posFacts 1: expected an object, but got 'x'"),
        ({"txt_posFacts": [{"fact": "x"}]}, "question 'g1', txt_posFacts 1: 'snippet_id' cannot be None"),
        ({"txt_posFacts": [{"snippet_id": "s"}]}, "question 'g1', txt_posFacts 1: 'fact' cannot be None"),
        ({"split": 1}, "question 'g1': 'split' cannot be 1"),
    ],
)
def test_wrong_entries(tmp_path: Path, change: dict[str, Any], told: str):
    rows = entries()
    rows["g1"].update(change)
    with pytest.raises(InputError, match=told):
        load_webqa(put(tmp_path, rows), images=False, strict=False)


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(
        InputError, match="split must be one of train, val, but is 'test': no other has labels"
    ):
        load_webqa(tmp_path, "test")
    with pytest.raises(InputError, match="modality must be 'all', 'image' or 'text'"):
        load_webqa(tmp_path, modality="video")
    with pytest.raises(InputError, match="there is no folder"):
        load_webqa(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds none of WebQA_train_val\.json"):
        load_webqa(tmp_path)
    put_text(tmp_path / "WebQA_train_val.json", "[]")
    with pytest.raises(InputError, match="expected questions by their ids, but got list"):
        load_webqa(tmp_path)
    put(tmp_path, {"g3": entries()["g3"]})
    with pytest.raises(InputError, match="has no questions of split 'val'"):
        load_webqa(tmp_path)


@pytest.mark.usefixtures("counted")
def test_a_picture_far_down_in_the_file(tmp_path: Path):
    rows = entries()
    rows["g1"]["img_posFacts"] = [picture(30012345)]
    lines = [f"30000000\t{as_base64(png(0))}\n", f"30012345\t{as_base64(png(9))}\n"]
    put_text(put(tmp_path, rows) / "imgs.tsv", "".join(lines))
    put_text(tmp_path / "imgs.lineidx", "0\n" * 12_345 + f"{len(lines[0])}\n")
    documents = {document.id: document for document in load_webqa(tmp_path).documents}
    assert documents["30012345"].images == (Image(png(9)),)
