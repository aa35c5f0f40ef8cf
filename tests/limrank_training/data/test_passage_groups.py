"""Groups of files: what is read, what follows a shuffle, and how a bad line is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chats
import pytest
import tiny_vision
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.errors import InputError
from limrank_training.data.group_rows import read_graded, read_groups
from limrank_training.data.passage_groups import Passage, PassageGroup


def one(folder: Path, row: object) -> PassageGroup:
    (found,) = read_groups(chats.written(folder / "rows.jsonl", row))
    return found


def test_orders_and_golds_by_position_or_by_id(tmp_path: Path):
    by_id = one(tmp_path, chats.group(2, order=["p2", "p0", "p3", "p1"], gold="p2"))
    by_place = one(tmp_path, chats.group(2, order=[2, 0, 3, 1], gold=2))
    labelled = one(tmp_path, chats.group(2, order=[2, 0, 3, 1], label="[3]"))
    assert by_id == by_place == labelled
    assert by_id.best_first() == (2, 0, 3, 1)
    assert by_id.ranks() == (2, 4, 1, 3)
    assert by_id.chosen() == 2
    assert by_id.where.endswith("rows.jsonl, line 1")


def test_grades_make_an_order_with_ties(tmp_path: Path):
    row = chats.group()
    for passage, grade in zip(row["passages"], (0, 2, 0, 1), strict=True):
        passage["relevance"] = grade
    found = one(tmp_path, row)
    assert found.best_first() == (1, 3, 0, 2)
    assert found.ranks() == (3, 1, 3, 2)
    with pytest.raises(InputError, match=r"line 1: .* 2 are relevant"):
        found.chosen()


def test_a_gold_that_is_not_the_best_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="not the most relevant"):
        one(tmp_path, chats.group(2, gold=1)).chosen()


GRADES = st.lists(st.integers(0, 3), min_size=2, max_size=8)


@given(GRADES, st.integers(0, 5), st.integers(2, 8), st.data())
@settings(deadline=None, max_examples=80)
def test_order_gold_and_grades_follow_the_passages(
    grades: list[int], seed: int, size: int, data: st.DataObject
):
    passages = tuple(Passage(f"text {i}", grade=float(g), reason=f"r{i}") for i, g in enumerate(grades))
    order = tuple(data.draw(st.permutations(range(len(grades)))))
    group = PassageGroup("why", passages, order, order[0], where="here")
    shown = group.shuffled(seed).limited(size, seed)
    texts = [p.text for p in shown.passages]
    assert len(texts) == min(size, len(grades)) == len(set(texts))
    assert texts[shown.gold] == f"text {order[0]}"
    assert [texts[i] for i in shown.best_first()] == [f"text {i}" for i in order if f"text {i}" in texts]
    for passage, rank in zip(shown.passages, shown.ranks(), strict=True):
        assert passage.reason == passage.text.replace("text ", "r")
        assert texts[shown.best_first()[rank - 1]] == passage.text
    assert shown == group.shuffled(seed).limited(size, seed)
    # Shown as before: limiting keeps the order of what stays.
    kept = group.limited(size, seed)
    assert [p.text for p in kept.passages] == [p.text for p in passages if p in kept.passages]


def test_seeds_shuffle_differently(tmp_path: Path):
    found = one(tmp_path, chats.group(1))
    orders = {tuple(p.id for p in found.shuffled(seed).passages) for seed in range(20)}
    assert len(orders) > 5
    assert {found.shuffled(seed).passages[found.shuffled(seed).chosen()].id for seed in range(20)} == {"p1"}


def test_a_group_with_a_trace_stays_as_it_is(tmp_path: Path):
    found = one(tmp_path, chats.group(trace="[1] names the cause."))
    with pytest.raises(InputError, match="line 1: the trace may name labels"):
        found.shuffled(0)


def test_the_synthesizers_exports_are_read(tmp_path: Path):
    from synth_rows import make_row

    from limrank_synth.exports import ExportOptions
    from limrank_synth.exports.listwise import example
    from limrank_synth.exports.setwise import examples

    good, bad = (
        next(make_row(i) for i in range(8) if make_row(i).relevant == want) for want in (True, False)
    )
    rows = [
        replace(good if i == 2 else bad, id=f"r{i}", query_id="q", query="why milk", passage=text,
                trace=f"About {i}. So it is.")
        for i, text in enumerate(chats.TEXTS)
    ]  # fmt: skip
    made = example(rows, ExportOptions(seed=3))
    listed = one(tmp_path, made)
    assert [p.id for p in listed.passages] == [p["id"] for p in made["passages"]]
    assert listed.best_first() == tuple(made["order"])
    assert listed.passages[listed.chosen()].id == "r2"
    assert "About 2. So it is." in listed.trace
    (chosen,) = examples(rows, ExportOptions(seed=3))
    read = one(tmp_path, chosen)
    assert read.passages[read.chosen()].id == "r2"
    assert read.trace == "About 2. So it is."
    graded = list(read_graded(chats.written(tmp_path / "rows.jsonl", made), 3))
    assert [g.passages[0].grade for g in graded] == [p["grade"] for p in made["passages"]]


BAD = [
    ("[1]", "JSON object"),
    ({"query": "q"}, "'passages'"),
    ({"query": " ", "passages": [{"text": "a"}, {"text": "b"}]}, "'query'"),
    (chats.group(answer=1), "'answer'"),
    ({"query": "q", "passages": [{"text": "a"}, "b"]}, "passage 1"),
    ({"query": "q", "passages": [{"text": "a"}, {"text": " "}]}, "passage 1: 'text'"),
    ({"query": "q", "passages": [{"text": "a"}, {"text": "b", "grad": 1}]}, "'grad'"),
    ({"query": "q", "passages": [{"text": "a"}, {"text": "b", "relevance": -1}]}, "'relevance'"),
    ({"query": "q", "passages": [{"text": "a"}, {"text": "b", "relevance": "high"}]}, "'relevance'"),
    ({"query": "q", "passages": [{"text": "a"}, {"text": "b", "relevance": 1, "grade": 2}]}, "'grade' is 2"),
    ({"query": "q", "passages": [{"text": "a", "id": "x"}, {"text": "b", "id": "x"}]}, "one id"),
    ({"query": "q", "passages": [{"text": "a", "id": 7}, {"text": "b"}]}, "'id'"),
    ({"query": "q", "passages": [{"text": "a"}, {"images": ["no.png"]}]}, "no.png"),
    ({"query": "q", "passages": [{"text": "a"}, {"images": ["../x.png"]}]}, "../x.png"),
    (chats.group(order=[0, 1, 2]), "each of 4"),
    (chats.group(order=[0, 1, 2, 2]), "each of 4"),
    (chats.group(order=[0, 1, 2, 4]), "names 4"),
    (chats.group(order=[True, 1, 2, 3]), "names True"),
    (chats.group(order="p0"), "'order'"),
    (chats.group(gold="p9"), "'p9'"),
    (chats.group(gold=-1), "names -1"),
    (chats.group(label="[5]"), "[4]"),
    (chats.group(label="3"), "'3'"),
    (chats.group(gold=0, label="[2]"), "'label' is '[2]'"),
    (chats.group(reasons=["a"]), "'reasons'"),
    (chats.group(reasons=["a", "b", "c", " "]), "'reasons'"),
    (chats.group(reasons=["a"] * 4, trace="t"), "both"),
    (chats.group(trace=3), "'trace'"),
    (chats.group(completion=[1, 2]), "'completion'"),
]


@pytest.mark.parametrize(("row", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_line_is_named(tmp_path: Path, row: object, said: str):
    path = chats.written(tmp_path / "rows.jsonl", chats.group(), row)
    with pytest.raises(InputError, match="line 2") as raised:
        list(read_groups(path))
    assert said in str(raised.value)


def test_graded_rows(tmp_path: Path):
    path = chats.written(tmp_path / "g.jsonl", {"query": "q", "passage": "p", "title": "T", "grade": 4})
    (found,) = read_graded(path, 5)
    assert found.query_and_documents()[1][0].passage == "T p"
    assert found.passages[0].grade == 4
    for row, said in [
        ({"query": "q", "passage": "p"}, "'grade' is missing"),
        ({"query": "q", "passage": "p", "grade": 5}, "from 0 to 4"),
        ({"query": "q", "passage": "p", "grade": 0.5}, "from 0 to 4"),
        ({"query": "q", "passage": " ", "grade": 1}, "'passage'"),
        ({"query": "", "passage": "p", "grade": 1}, "'query'"),
        ({"query": "q", "passage": "p", "relevant": True}, "'relevant'"),
    ]:
        with pytest.raises(InputError, match="line 1") as raised:
            list(read_graded(chats.written(tmp_path / "g.jsonl", row), 5))
        assert said in str(raised.value)


def test_images_are_opened_when_they_are_asked_for(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(tiny_vision.picture().data)
    (tmp_path / "b.png").write_bytes(b"none")
    row = {"query": "q", "passages": [{"images": ["a.png"], "relevance": 1}, {"images": ["b.png"]}]}
    found = one(tmp_path, row)
    assert found.passages[0].document().images == (tiny_vision.picture(),)
    with pytest.raises(InputError, match=r"line 1: .*b\.png"):
        found.query_and_documents()
